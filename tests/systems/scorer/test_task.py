"""The task of the scorer: its loss against the formula, retrieval counted by hand, and learning colours by name."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.config import parse
from qkv.errors import QkvError
from qkv.model_directory import read_weights
from qkv.models.weights import get_weights
from qkv.reporter import Reporter
from qkv.systems.scorer.report import belong, candidate_sets, finds
from qkv.systems.scorer.task import ScorerConfig, ScorerTask, contrastive_loss
from qkv.train.config import TrainingConfig
from qkv.train.task import Setting
from qkv.train.trainer import Trainer

COLOURS = {
    "red": (220, 40, 30),
    "green": (30, 170, 60),
    "blue": (40, 60, 220),
    "yellow": (240, 220, 40),
    "purple": (140, 40, 160),
    "orange": (250, 140, 20),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
}
PHRASES = {"en": "a {} wall", "de": "{} und nichts sonst"}
WIDTHS = {"d_model": 32, "n_heads": 2, "n_layers": 1, "d_ff": 64, "dropout": 0.0}
MODEL = {"image": {"image_size": 16, "patch_size": 8, **WIDTHS}, "text": {"text_length": 16, **WIDTHS}, "d_shared": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one colour each with a little noise, and what they are called in two languages."""
    place = tmp_path_factory.mktemp("colours")
    draw = np.random.default_rng(0)
    lines = [",".join(["image", *PHRASES])]
    for number in range(120):
        name, colour = list(COLOURS.items())[number % 8]
        pixels = np.clip(np.array(colour) + draw.integers(-10, 11, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
        lines.append(",".join([f"{number}.png", *(phrase.format(name) for phrase in PHRASES.values())]))
    (place / "t.csv").write_text("\n".join(lines))
    return place


def create(folder: Path, run: Path, initial: Path | None = None, **fields) -> ScorerTask:
    source = {"table": str(folder / "t.csv"), "captions": {language: language for language in PHRASES}}
    data = {"train": [source], "batch_size": 24, "text_length": 16, "holdout": 0.2}
    config = {"data": data, "tokenizer": {"vocabulary": 300}, "model": MODEL, **fields}
    torch.manual_seed(0)
    return ScorerTask.create(parse(ScorerConfig, config, "test"), Setting(folder=run, initial=initial))


def by_hand(logits: np.ndarray, right: np.ndarray) -> float:
    """Figure 3 of the paper, pair by pair."""
    total = 0.0
    for matrix, mask in ((logits, right), (logits.T, right.T)):
        for row in range(len(matrix)):
            others = [column for column in range(len(matrix)) if column == row or not mask[row, column]]
            total -= matrix[row, row] - np.log(np.sum(np.exp(matrix[row, others])))
    return total / 2


def test_the_loss_is_the_papers(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    logits, alone = torch.randn(7, 7, dtype=torch.float64), torch.eye(7, dtype=torch.bool)
    assert contrastive_loss(logits, alone).item() == pytest.approx(by_hand(logits.numpy(), alone.numpy()))
    same = alone.clone()
    same[1, 4] = same[4, 1] = same[2, 6] = same[5, 3] = True
    assert contrastive_loss(logits, same).item() == pytest.approx(by_hand(logits.numpy(), same.numpy()))
    assert contrastive_loss(logits, same) < contrastive_loss(logits, alone)
    assert contrastive_loss(logits, torch.ones_like(same)) == 0  # nothing to be told from
    order = torch.randperm(7)
    mixed = contrastive_loss(logits[order][:, order], same[order][:, order])
    torch.testing.assert_close(mixed, contrastive_loss(logits, same))

    task = create(folder, tmp_path / "run")
    batch = task.batch(0, 0)
    with torch.no_grad():
        logits = task.model(batch.images, batch.captions, batch.lengths)
        texts = [tuple(row.tolist()) for row in batch.captions]
        same = np.array([[one == other for other in texts] for one in texts])
        assert same.sum() > 24  # some pictures of a batch have the same caption
        expected = by_hand(logits.double().numpy(), same)
        assert task.losses(batch)["pairs"].item() == pytest.approx(expected, rel=1e-4)
    assert task.denominators(batch) == {"pairs": 24.0}


def test_pairs_of_one_picture_are_not_told_from_each_other(folder: Path, tmp_path: Path) -> None:
    pictures, captions = [5, 5, 2, 3, 3], [(1, 2), (3, 0), (4, 0), (3, 0), (6, 0)]
    has = {(picture, caption) for picture, caption in zip(pictures, captions)}
    wanted = [[(picture, caption) in has for caption in captions] for picture in pictures]
    assert belong(torch.tensor(pictures), torch.tensor(captions)).tolist() == wanted
    assert wanted[0][3] and not wanted[3][0]  # what a picture is called elsewhere is right for it, and not the reverse
    task = create(folder, tmp_path / "run")
    [*batches] = task.data.validation_batches()
    seen = torch.cat([batch.pictures for batch in batches])
    assert sorted(torch.bincount(seen).unique().tolist()) == [0, 2]  # once in each language
    for batch in batches:
        first = {number: row for row, number in enumerate(batch.pictures.tolist())}
        for row, number in enumerate(batch.pictures.tolist()):
            assert torch.equal(batch.images[row], batch.images[first[number]])
    trained = torch.cat([task.batch(0, index).pictures for index in range(task.n_batches(0))])
    assert len(trained.unique()) == len(trained)
    assert not set(trained.tolist()) & set(seen.tolist())


def test_a_tie_is_no_find() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.3, 0.1], [0.7, 0.1, 0.2], [0.5, 0.5, 0.5]])
    right = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]]).bool()
    assert finds(scores, right).tolist() == [True, False, True, True]
    right[2] = torch.tensor([0, 0, 1]).bool()
    assert finds(scores, right).tolist() == [True, False, False, True]


def test_every_pair_is_looked_for_once_among_as_many_candidates() -> None:
    for n_pairs in (3, 10, 34):
        sets = list(candidate_sets(n_pairs, 10, seed=1))
        assert {len(rows.unique()) for rows, _ in sets} == {min(10, n_pairs)}
        assert sorted(torch.cat([rows[:new] for rows, new in sets]).tolist()) == list(range(n_pairs))


def test_a_model_that_sees_no_difference_finds_nothing(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run")
    with torch.no_grad():
        for parameter in task.model.image_encoder.encoder.parameters():
            parameter.zero_()
        task.model.image_encoder.encoder.norm.bias.fill_(1)
        metrics = task.evaluate()
    assert metrics["text_to_image"] == 0
    assert metrics["image_to_text"] < 30  # one caption for all pictures is that of an eighth of them


def test_it_learns_the_names_of_colours(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run")
    before = task.evaluate()["retrieval"]
    config = TrainingConfig(
        max_steps=80, warmup=5, schedule="cosine", learning_rate=0.005, validate_every=40, device="cpu"
    )
    outcome = Trainer(task, config, tmp_path / "run", 1, Reporter()).train()
    assert outcome.score > 95 > 40 > before  # percent
    scorer = qkv.load(tmp_path / "run", device="cpu")
    walls = [Image.new("RGB", (30, 20), colour) for colour in COLOURS.values()]
    for phrase in PHRASES.values():
        scores = scorer.score(walls, [phrase.format(name) for name in COLOURS])
        assert (scores.argmax(dim=1) == torch.arange(8)).all() and (scores.argmax(dim=0) == torch.arange(8)).all()
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "16 x 16 pixels" in card and "| retrieval |" in card

    again = create(folder, tmp_path / "again", initial=tmp_path / "run" / "model")
    weights = read_weights(tmp_path / "run" / "model")
    assert all(torch.equal(weight, weights[name]) for name, weight in get_weights(again.model).items())
    assert again.data.tokenizer.to_bytes() == task.data.tokenizer.to_bytes()
    with pytest.raises(QkvError, match=r"model\.text\.d_ff is 48, but the initial model's is 64: set it to that"):
        wider = {**MODEL, "text": {**MODEL["text"], "d_ff": 48}}
        create(folder, tmp_path / "wider", initial=tmp_path / "run" / "model", model=wider)


def test_a_step_never_leaves_the_scale_beyond_its_bound(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run")
    torch.nn.init.constant_(task.model.log_scale, math.log(300))
    config = TrainingConfig(max_steps=1, warmup=0, learning_rate=0.001, device="cpu", schedule="linear")
    Trainer(task, config, tmp_path / "run", 1, Reporter()).train()
    assert task.model.scale.item() == pytest.approx(100)
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])["scale"] == pytest.approx(100)
    assert read_weights(tmp_path / "run" / "model")["log_scale"].exp().item() == pytest.approx(100, rel=0.01)


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    for fields, said in (
        ({"candidates": 1}, "candidates must be at least 2, not 1"),
        (
            {"model": {**MODEL, "text": {"text_length": 9}}},
            r"data.text_length \(16\) and model.text.text_length \(9\) must be equal",
        ),
        ({"data": {"train": [{"folder": "f"}], "batch_size": 1}}, "data.batch_size must be at least 2"),
    ):
        with pytest.raises(QkvError, match=said):
            create(folder, tmp_path / "run", **fields)
