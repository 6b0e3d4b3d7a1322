"""The scorer: the model's cosines from raw pictures and captions, one line for what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.errors import QkvError
from qkv.systems.scorer import pipeline as scorer
from qkv.systems.scorer.pipeline import Scorer
from tiny_scorer import CAPTIONS, tiny_scorer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_scorer(tmp_path / "scorer")


def pictures(n: int = 5) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (12, 9, 3), dtype=np.uint8)) for _ in range(n)]


def test_scores_are_the_cosines_of_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = qkv.load(folder, device="cpu")
    assert isinstance(model, Scorer)
    scores = model.score(pictures(), CAPTIONS)
    assert scores.shape == (5, 4) and scores.abs().max() <= 1.0001
    rows = model.tokenizer.encode(CAPTIONS)
    with torch.no_grad():
        images = torch.stack([model.preprocessing(picture) for picture in pictures()])
        for column, row in enumerate(rows):
            logits = model.model(images, torch.tensor([row]), torch.tensor([len(row)]))
            torch.testing.assert_close(scores[:, column : column + 1], logits / np.exp(3.0))

    monkeypatch.setattr(scorer, "_BATCH", 2)
    torch.testing.assert_close(model.score(pictures(), CAPTIONS), scores)
    torch.testing.assert_close(model.score(pictures()[::-1], CAPTIONS[::-1]), scores.flip(0, 1))


def test_one_picture_and_one_caption_in_every_form(folder: Path, tmp_path: Path) -> None:
    model = qkv.load(folder, device="cpu")
    [picture], caption = pictures(1), CAPTIONS[0]
    picture.save(tmp_path / "p.png")
    wanted = model.score([picture], [caption])
    assert wanted.shape == (1, 1)
    for form in (picture, np.asarray(picture), str(tmp_path / "p.png"), (tmp_path / "p.png").read_bytes()):
        torch.testing.assert_close(model.score(form, caption), wanted)
    assert model.score([], CAPTIONS).shape == (0, 4)
    assert model.score(picture, []).shape == (1, 0)


def test_what_cannot_be_scored_is_named(folder: Path, tmp_path: Path) -> None:
    model = qkv.load(folder, device="cpu")
    with pytest.raises(QkvError, match=r"the caption '' is empty"):
        model.score(pictures(1), ["a bird", ""])
    with pytest.raises(QkvError, match=r"the caption 'bird bird .* has \d+ tokens, the model reads 24: shorten it"):
        model.score(pictures(1), "bird " * 40)
    with pytest.raises(QkvError, match=r"none\.png does not exist"):
        model.score([tmp_path / "none.png"], CAPTIONS)


def test_a_folder_that_does_not_fit_together_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for section, field, value, said in (
        ("preprocessing", "size", 12, "preprocessing.size is 12, but the encoder of pictures has 8; restore"),
        ("model", "d_shared", 9, r"head\.weight is \[8, 16\], the model needs \[9, 16\]"),
        ("model", "image", None, r"config\.json: model\.image: "),
    ):
        changed = {**config, section: {**config[section], field: value}}
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(QkvError, match=said):
            qkv.load(folder, device="cpu")
    for name in ("model", "preprocessing"):
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key != name}))
        with pytest.raises(QkvError, match=rf"config\.json: {name}: Field required; restore the file"):
            qkv.load(folder, device="cpu")


def test_pictures_are_judged_by_their_cosine(folder: Path) -> None:
    model = qkv.load(folder, device="cpu")
    assert model.judge(CAPTIONS[1], pictures()) == model.score(pictures(), CAPTIONS[1])[:, 0].tolist()
    assert model.judge(CAPTIONS[1], []) == []
    with pytest.raises(QkvError, match="is empty"):
        model.judge("", [])
