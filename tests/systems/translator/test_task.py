import math
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch

import qkv
from qkv.config import parse
from qkv.data.text.tokenizer import END, PAD
from qkv.errors import QkvError
from qkv.model_directory import read_config, read_weights
from qkv.models.weights import get_weights
from qkv.systems.translator.suggest import reason, sizes
from qkv.systems.translator.task import TranslatorTask, TranslatorTaskConfig
from qkv.train.config import TrainingConfig
from qkv.train.task import Setting

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}


@pytest.fixture
def task(tmp_path: Path) -> TranslatorTask:
    words = list(NUMBERS)
    sources = [" ".join(words[(i * k + k) % 6] for k in range(1, 3 + i % 5)) for i in range(60)]
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{s}\t{' '.join(NUMBERS[w] for w in s.split())}\n" for s in sources))
    config = parse(
        TranslatorTaskConfig,
        {
            "data": {"train": [{"table": str(pairs), "columns": ["en", "de"]}], "batch_tokens": 200, "holdout": 5},
            "tokenizer": {"vocabulary": 320},
            "model": {"d_model": 16, "n_heads": 2, "n_layers": 1, "d_ff": 32, "dropout": 0.0},
            "label_smoothing": 0.2,
        },
        "test",
    )
    torch.manual_seed(0)
    return TranslatorTask.create(config, Setting(folder=tmp_path))


def test_loss_is_the_label_smoothed_cross_entropy_of_the_target_tokens(task: TranslatorTask) -> None:
    """Against Szegedy et al. 2016, section 7, in numpy: (1 - e) of the mass on the token, e on all alike."""
    batch = task.batch(0, 0)
    model = task.model.eval()
    logits = model(batch.source, batch.source_lengths, batch.target_input).detach().double().numpy()
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected, tokens = 0.0, 0
    for row, target in zip(log_probabilities, batch.target_output.tolist(), strict=True):
        for position, token in enumerate(target):
            if token != PAD:
                expected -= 0.8 * row[position, token] + 0.2 * row[position].mean()
                tokens += 1
    assert task.losses(batch)["tokens"].item() == pytest.approx(expected, rel=1e-5)
    assert task.denominators(batch) == {"tokens": tokens}


def test_loss_does_not_depend_on_padding(task: TranslatorTask) -> None:
    batch = task.batch(0, 0)
    task.model.eval()
    padded = type(batch)(
        torch.nn.functional.pad(batch.source, (0, 3), value=PAD),
        batch.source_lengths,
        torch.nn.functional.pad(batch.target_input, (0, 4), value=PAD),
        torch.nn.functional.pad(batch.target_output, (0, 4), value=PAD),
    )
    torch.testing.assert_close(task.losses(padded), task.losses(batch))


def test_evaluate_reports_nats_per_token_and_bleu_of_each_direction(task: TranslatorTask) -> None:
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.zero_()  # a uniform distribution: log V nats a token
        task.model.eval()
        metrics = task.evaluate()
    assert metrics["loss"] == pytest.approx(math.log(task.data.codec.vocabulary), rel=1e-5)
    assert set(metrics) == {"loss", "bleu", "bleu_en-de", "bleu_de-en"}
    assert metrics["bleu"] == pytest.approx((metrics["bleu_en-de"] + metrics["bleu_de-en"]) / 2)


def test_a_direction_without_validation_pairs_is_left_out_of_bleu(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("one two\teins zwei\n" * 20)
    (tmp_path / "validation.tsv").write_text("two one\tzwei eins\n")
    corpus = {"table": str(tmp_path / "train.tsv"), "columns": ["en", "de"]}
    validation = {"table": str(tmp_path / "validation.tsv"), "columns": ["en", "de"], "directions": ["de-en"]}
    data = {"data": {"train": [corpus], "validation": [validation]}, "tokenizer": {"vocabulary": 280}}
    config = parse(
        TranslatorTaskConfig, {**data, "model": {"d_model": 8, "n_heads": 1, "n_layers": 1, "d_ff": 8}}, "test"
    )
    task = TranslatorTask.create(config, Setting(folder=tmp_path))
    with torch.no_grad():
        task.model.eval()
        assert set(task.evaluate()) == {"loss", "bleu"}


def test_bleu_is_that_of_the_exported_model_s_greedy_translations(task: TranslatorTask, tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(task.model.parameters(), 0.01)
    for step in range(100):
        losses = task.losses(task.batch(0, step % task.n_batches(0)))
        (losses["tokens"] / 100).backward()
        optimizer.step()
        optimizer.zero_grad()
    task.model.eval()
    metrics = task.evaluate()
    task.export(tmp_path / "model", get_weights(task.model), {"step": 1, "hours": 0.0, "validation": metrics})
    translator = qkv.load(tmp_path / "model")
    for direction in task.data.codec.directions:
        sources, references = task.data.validation_texts(direction)
        outputs = [done.text for done in translator.translate(sources, direction[1], direction[0], beam_size=1)]
        assert len(set(outputs)) > 1
        expected = sacrebleu.corpus_bleu(outputs, [references]).score
        assert metrics[f"bleu_{'-'.join(direction)}"] == pytest.approx(expected)


def test_export_holds_everything_for_raw_text(task: TranslatorTask, tmp_path: Path) -> None:
    facts = {"step": 7, "hours": 0.5, "validation": {"loss": 1.0, "bleu": 33.25}}
    task.export(tmp_path / "model", get_weights(task.model), facts)
    config = read_config(tmp_path / "model")
    assert config["directions"] == [["en", "de"], ["de", "en"]]
    assert config["max_source_tokens"] >= 6
    assert torch.equal(read_weights(tmp_path / "model")["output_bias"], task.model.output_bias.detach())
    card = (tmp_path / "model" / "README.md").read_text()
    assert "33.25" in card and "7 steps" in card and "pairs.tsv" in card


def test_batches_end_targets_and_are_pure_functions(task: TranslatorTask) -> None:
    batch, again = task.batch(1, 0), task.batch(1, 0)
    assert torch.equal(batch.source, again.source)
    assert all(END in row for row in batch.target_output.tolist())


@pytest.mark.parametrize("field", [{"label_smoothing": 1.0}, {"labl_smoothing": 0.1}])
def test_wrong_fields_are_refused(field: dict[str, float]) -> None:
    data = {"data": {"train": [{"table": "x.tsv", "columns": ["en", "de"]}]}, **field}
    with pytest.raises(QkvError, match="label_smoothing"):
        parse(TranslatorTaskConfig, data, "recipe.yaml")


@pytest.mark.parametrize("pairs", [1, 100, 10_000, 100_000, 1_000_000, 10**8])
def test_suggestions_are_valid_and_grow_with_the_text(pairs: int) -> None:
    sections = sizes(pairs, 60 * pairs)
    data = {"train": [{"table": "x.tsv", "columns": ["en", "de"]}]}
    training = parse(TrainingConfig, sections.pop("training"), "suggestion")
    config = parse(TranslatorTaskConfig, {**sections, "data": {**data, **sections["data"]}}, "suggestion")
    assert config.data.batch_tokens * training.accumulate == 4096
    assert training.warmup < training.max_steps
    assert reason(pairs, 60 * pairs, config, training).startswith(f"{pairs:,} pairs: ")
    smaller = sizes(max(pairs // 10, 1), 6 * pairs)["model"]
    assert config.model.d_model >= smaller["d_model"] and config.model.dropout <= smaller["dropout"]
