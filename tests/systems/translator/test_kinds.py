"""A recurrent translator does all that a Transformer does: train, resume, translate, export, average, explain."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import qkv
from qkv.config import parse
from qkv.errors import QkvError
from qkv.explain.picture import draw_translation
from qkv.generation import Greedy, generate
from qkv.model_directory import CARD, CONFIG, read_config, read_saved, read_weights, save_model
from qkv.models.recurrent import RecurrentConfig, RecurrentModel
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.weights import get_weights, set_weights
from qkv.reporter import SILENT
from qkv.runs.averaging import average_models
from qkv.systems.translator.explain import explain
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.saved import Saved, make_model
from qkv.systems.translator.task import TranslatorTask, TranslatorTaskConfig
from qkv.train.config import TrainingConfig
from qkv.train.optimizer import make_optimizer
from qkv.train.task import Setting
from qkv.train.trainer import Trainer

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}
MODELS = [
    {"kind": "lstm"},
    {"kind": "lstm", "attention": False},
    {"kind": "gru"},
    {"kind": "gru", "attention": False, "tie_embeddings": False},
]
SENTENCE = "one two three"


def create(folder: Path, model: dict[str, object], initial: Path | None = None, **fields: object) -> TranslatorTask:
    words = list(WORDS)
    sources = [" ".join(words[(i * k + k) % 6] for k in range(1, 3 + i % 5)) for i in range(80)]
    pairs = folder / "pairs.tsv"
    pairs.write_text("en\tde\n" + "".join(f"{s}\t{' '.join(WORDS[w] for w in s.split())}\n" for s in sources))
    sections = {
        "data": {"train": [{"table": str(pairs)}], "batch_tokens": 300, "holdout": 5},
        "tokenizer": {"vocabulary": 310, "sampling": 0.1},
        "model": {"d_model": 24, "n_layers": 2, "dropout": 0.1, **model},
        **fields,
    }
    torch.manual_seed(0)
    config = parse(TranslatorTaskConfig, sections, "test")
    return TranslatorTask.create(config, Setting(folder=folder, initial=initial))


def train(task: TranslatorTask, run: Path, steps: int, **settings: object) -> Trainer:
    fields = {"max_steps": steps, "warmup": 2, "validate_every": 5, "device": "cpu", "ema": 0.9, **settings}
    return Trainer(task, parse(TrainingConfig, fields, "test"), run, 3, SILENT)


@pytest.fixture(scope="module", params=MODELS, ids=str)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory of a recurrent model that has learnt a little."""
    run = tmp_path_factory.mktemp("run")
    train(create(run, request.param), run, 40, validate_every=40, learning_rate=0.01).train()
    return run / "model"


@pytest.fixture(scope="module")
def translator(folder: Path) -> Translator:
    return qkv.load(folder)


def test_the_kind_chooses_the_model_and_old_files_without_one_are_transformers(tmp_path: Path) -> None:
    assert isinstance(make_model(RecurrentConfig(d_model=8), 9), RecurrentModel)
    assert isinstance(make_model(TranslatorConfig(d_model=8, n_layers=1), 9), TranslatorModel)
    fields = {"data": {"train": [{"table": "x.tsv"}]}}
    assert parse(TranslatorTaskConfig, fields, "x").model == TranslatorConfig()
    for section in ({"d_model": 32}, {"d_model": 32, "n_layers": 4, "dropout": 0.1, "tie_embeddings": True}):
        assert parse(TranslatorTaskConfig, {**fields, "model": section}, "x").model == TranslatorConfig(d_model=32)
    gru = parse(TranslatorTaskConfig, {**fields, "model": {"kind": "gru"}}, "x").model
    assert gru == RecurrentConfig(kind="gru")
    with pytest.raises(QkvError, match=r"unknown field 'model.d_ff'; "):
        parse(TranslatorTaskConfig, {**fields, "model": {"kind": "gru", "d_ff": 3}}, "x")
    with pytest.raises(QkvError, match=r"x: model.kind is 'rnn'; choose from gru, lstm, transformer"):
        parse(TranslatorTaskConfig, {**fields, "model": {"kind": "rnn"}}, "x")
    saved = Saved(
        model=TranslatorConfig(d_model=8, n_layers=1, norm="post"),
        vocabulary=9,
        target_vocabulary=None,
        max_source_tokens=5,
        directions=(("en", "de"),),
        target_tags=False,
    )
    save_model(tmp_path / "model", saved, {}, {})
    assert read_saved(tmp_path / "model", Saved) == saved
    config = read_config(tmp_path / "model")
    del config["model"]["kind"]
    (tmp_path / "model" / CONFIG).write_text(json.dumps(config))
    assert read_saved(tmp_path / "model", Saved) == saved


def test_what_is_exported_is_loaded_as_it_was(folder: Path, translator: Translator) -> None:
    assert isinstance(translator.model, RecurrentModel)
    assert read_config(folder)["model"] == asdict(translator.model.config)
    card = (folder / CARD).read_text()
    named = {"lstm": "An LSTM", "gru": "A GRU"}[translator.model.config.kind]
    with_ = "with attention (Bahdanau" if translator.model.config.attention else "without attention (Sutskever"
    assert f"{named} {with_}" in card and "2+2 layers, width 24, vocabulary 310" in card
    assert "Transformer" not in card and "heads" not in card


OPTIONS = [
    {},
    {"beam_size": 1},
    {"n_best": 3},
    {"length_penalty": 0.0},
    {"temperature": 1.0, "seed": 3},
    {"top_k": 5, "n_best": 2, "seed": 1},
    {"no_repeat_ngram": 2},
    {"min_length": 6},
    {"max_length": 3},
    {"prefix": "zwei"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_translation_does_not_depend_on_its_neighbours(translator: Translator, options: dict[str, object]) -> None:
    texts = [SENTENCE, "", "six five four three two one", "two", "one. " * 30]
    together = translator.translate(texts, "de", **options)
    for text, found in zip(texts, together, strict=True):
        alone = translator.translate(text, "de", **options)
        assert (alone.text, alone.flags) == (found.text, found.flags)
        assert alone.score == pytest.approx(found.score, rel=1e-6, abs=1e-5)  # a sum over all parts
        assert (len(alone.n_best) > 0) == ("n_best" in options)
    if "prefix" in options:
        assert together[0].text.startswith("zwei")
    if "max_length" in options:
        assert all(len(translator.codec.encode_target([done.text])[0]) <= 3 for done in together[:-1])
    assert "split" in together[-1].flags


def test_streaming_gives_the_greedy_translation(translator: Translator) -> None:
    for text in (SENTENCE, "six four", "漢字 and one", "one. " * 20):
        assert "".join(translator.stream(text, "de")) == translator.translate(text, "de", beam_size=1).text


@torch.no_grad()
def test_greedy_translations_are_those_of_the_model_run_anew_at_each_token(translator: Translator) -> None:
    [source] = translator.codec.encode_source([SENTENCE], "de")
    tokens = [2]
    while tokens[-1] != 3 and len(tokens) < 2 * len(source):
        logits = translator.model(torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([tokens]))
        tokens.append(int(logits[0, -1].argmax()))
    state = translator.model.start(torch.tensor([source]), torch.tensor([len(source)]), 99)
    limit = 2 * len(source) - 1
    [[found]] = generate(translator.model.decode, state, torch.tensor([[2]]), Greedy(), end_id=3, max_length=limit)
    assert list(found.tokens) == [token for token in tokens[1:] if token != 3]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_ten_steps_are_five_and_a_resume_and_five_bit_for_bit(tmp_path: Path, model: dict[str, object]) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train(create(tmp_path / "whole", model), tmp_path / "whole", 10)
    whole.train()
    first = train(create(tmp_path / "parts", model), tmp_path / "parts", 10)
    evaluate = first.task.evaluate

    def killed() -> dict[str, float]:
        if first.progress.step == 10:
            raise KeyboardInterrupt
        return evaluate()

    first.task.evaluate = killed
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = train(create(tmp_path / "parts", model), tmp_path / "parts", 10)
    assert second.progress.step == 5
    second.train()
    others = get_weights(second.task.model)
    for name, weight in get_weights(whole.task.model).items():
        assert torch.equal(weight, others[name]), name
    exported = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert exported[0] == exported[1]


def test_training_starts_from_one_and_refuses_another_kind(folder: Path, tmp_path: Path) -> None:
    saved = read_saved(folder, Saved).model
    sizes = asdict(saved)
    task = create(tmp_path, {**sizes, "dropout": 0.4}, folder)
    weights = read_weights(folder)
    assert all(torch.equal(weight, weights[name]) for name, weight in get_weights(task.model).items())
    other = {"lstm": "gru", "gru": "lstm"}[saved.kind]
    with pytest.raises(QkvError, match=f"model.kind is '{other}', but the initial model's is '{saved.kind}'"):
        create(tmp_path, {**sizes, "kind": other}, folder)
    with pytest.raises(QkvError, match=f"model.kind is 'transformer', but the initial model's is '{saved.kind}'"):
        create(tmp_path, {"kind": "transformer"}, folder)
    with pytest.raises(QkvError, match=r"model.attention is"):
        create(tmp_path, {**sizes, "attention": not saved.attention}, folder)


def test_models_of_a_kind_are_averaged(folder: Path, tmp_path: Path) -> None:
    saved, weights = read_saved(folder, Saved), read_weights(folder)
    files = {path.name: path.read_bytes() for path in folder.glob("*.model")}
    save_model(tmp_path / "other", saved, {name: weight + 1 for name, weight in weights.items()}, files)
    average_models([folder, tmp_path / "other"], tmp_path / "mean")
    mean = read_weights(tmp_path / "mean")
    assert all(torch.allclose(mean[name], weight + 0.5, atol=1e-6) for name, weight in weights.items())
    assert isinstance(qkv.load(tmp_path / "mean").model, RecurrentModel)


def test_explain_shows_cross_attention_alone_and_says_where_there_is_none(
    translator: Translator, tmp_path: Path
) -> None:
    out = tmp_path / "attention.png"
    if not translator.model.config.attention:
        with pytest.raises(QkvError, match="the model has no attention, so there is nothing to show") as error:
            explain(translator, SENTENCE, "de")
        assert "\n" not in str(error.value)
        return
    translation, record = explain(translator, SENTENCE, "de")
    assert set(record.weights) == {("decoder", 1, "cross")}
    words = record.words()
    rows = words.map("decoder", "cross").weights.sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(len(rows)))
    drawing = draw_translation(words, out, heading=(SENTENCE, translation.text))
    assert (drawing.layer, drawing.head) == (None, None)
    assert out.read_bytes().startswith(b"\x89PNG")
    for options, said in (({"head": 1}, "no self-attention in the encoder"), ({"layer": 2}, "no decoder layer 2")):
        with pytest.raises(QkvError, match=said):
            draw_translation(words, tmp_path / "other.png", **options)
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_weight_is_optimised_once(model: dict[str, object]) -> None:
    made = make_model(RecurrentConfig(d_model=8, **model), 20)
    for decay in (1.0, 0.5):
        optimizer = make_optimizer(made, TrainingConfig(layer_decay=decay))
        groups = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
        assert sorted(groups) == sorted(map(id, made.parameters()))
    set_weights(made, get_weights(made))
