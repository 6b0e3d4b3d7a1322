"""Pictures to codes and back, as the model itself does it; and what is no discrete VAE."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.errors import QkvError
from qkv.systems.codes import pipeline as image_codes
from qkv.systems.codes.pipeline import Codes
from tiny_codes import CODES, tiny_codes


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Codes:
    return qkv.load(tiny_codes(tmp_path_factory.mktemp("codes") / "model"), device="cpu")


def pictures(n: int) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(n)]


def test_codes_are_the_models(tiny: Codes, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(5)
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        codes = tiny.model.encode(pixels)
        decoded = tiny.model.decode(codes)
    monkeypatch.setattr(image_codes.Codes, "batch_size", 2)
    assert tiny.encode(images).tolist() == codes.tolist()
    assert tiny.encode([]).shape == (0, 4, 4)
    for found in (tiny.decode(codes), tiny.decode(tiny.encode(images))):
        back = np.stack([np.asarray(image) for image in found]) / 255
        assert np.abs(back - decoded.permute(0, 2, 3, 1).numpy()).max() <= 0.5 / 255 + 1e-6


def test_any_picture_is_read(tiny: Codes, tmp_path: Path) -> None:
    Image.new("L", (30, 20), 99).save(tmp_path / "grey.png")
    (found,) = tiny.decode(tiny.encode([tmp_path / "grey.png"]))
    assert (found.size, found.mode) == ((8, 8), "RGB")
    with pytest.raises(QkvError, match=r"none.png does not exist"):
        tiny.encode([tmp_path / "none.png"])


def test_a_folder_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    folder = tiny_codes(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for name in ("model", "preprocessing"):
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key != name}))
        with pytest.raises(QkvError, match=rf"config\.json: {name}: Field required; restore the file"):
            qkv.load(folder)
    config["preprocessing"]["size"] = CODES.image_size + 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(QkvError, match=r"preprocessing\.size is 10, but the discrete VAE's is 8; restore the file"):
        qkv.load(folder)
