"""The scorer: the model's cosines from raw pictures and captions, one line for what does not fit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import qkv
from qkv.data.preprocessing import Preprocessing
from qkv.data.tokenizer import Tokenizer, TokenizerConfig
from qkv.errors import QkvError
from qkv.model_directory import save_model
from qkv.models.clip import CLIP, CLIPConfig, TextConfig
from qkv.models.vit import ViTConfig
from qkv.models.weights import get_weights
from qkv.pipelines import Scorer, scorer

CAPTIONS = ["a red bird", "a blue bird on a tree", "two green fish", "빨간 새"]
WIDTHS = {"d_model": 16, "n_heads": 2, "n_layers": 1, "d_ff": 24}
SIZES = CLIPConfig(
    image=ViTConfig(image_size=8, patch_size=4, **WIDTHS), text=TextConfig(text_length=24, **WIDTHS), d_shared=8
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scorer of random weights."""
    tokenizer = Tokenizer.train(CAPTIONS, TokenizerConfig(vocabulary=310))
    torch.manual_seed(1)
    model = CLIP(SIZES, len(tokenizer))
    nn.init.constant_(model.log_scale, 3.0)
    preprocessing = Preprocessing(size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    fields = {"model": asdict(SIZES), "vocabulary": len(tokenizer), "preprocessing": asdict(preprocessing)}
    files = {"README.md": b"# Tiny\n", "tokenizer.model": tokenizer.to_bytes()}
    save_model(tmp_path / "scorer", system="clip", config=fields, weights=get_weights(model), files=files)
    return tmp_path / "scorer"


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
        ("preprocessing", "size", 12, "do not fit together"),
        ("model", "d_shared", 9, r"head\.weight is \[8, 16\], the model needs \[9, 16\]"),
        ("model", "image", None, r"config\.json: model: image"),
    ):
        changed = {**config, section: {**config[section], field: value}}
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(QkvError, match=said):
            qkv.load(folder, device="cpu")
    for name in ("model", "preprocessing"):
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key != name}))
        with pytest.raises(QkvError, match="lacks model or preprocessing: it is no scorer's"):
            qkv.load(folder, device="cpu")
