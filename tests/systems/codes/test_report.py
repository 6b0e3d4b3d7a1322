"""Reconstruction of many pictures: against the model on all of them at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.data.captions.evaluation import open_pictures
from qkv.errors import QkvError
from qkv.metrics.pictures import psnr, ssim
from qkv.reporter import Reporter
from qkv.systems.codes.report import report
from tiny_codes import CODES, tiny_codes

CONSOLE = Reporter()


def test_scores_are_those_of_all_pictures_at_once(tmp_path: Path) -> None:
    codes, draw = qkv.load(tiny_codes(tmp_path / "model"), device="cpu"), np.random.default_rng(0)
    codes.batch_size = 16
    folder = tmp_path / "pictures"
    folder.mkdir()
    arrays = draw.integers(0, 256, (40, 8, 8, 3), np.uint8)
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{number:02}.png")
    (folder / "99.png").write_bytes(b"no picture")
    steps: list[tuple[int, int]] = []
    data = open_pictures(folder, tmp_path / "cache", CONSOLE)
    found = report(codes, data.pictures, lambda *step: steps.append(step))

    x = torch.from_numpy(arrays).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        output = codes.model(x)
        y = codes.model.images(output.mean)
    assert (found.psnr, found.ssim) == pytest.approx((psnr(x, y).mean().item(), ssim(x, y).mean().item()))
    counts = np.bincount(output.codes.flatten().numpy(), minlength=CODES.codes)
    shares = counts[counts > 0] / counts.sum()
    assert (found.codebook.codes, found.codebook.use) == (CODES.codes, len(shares) / CODES.codes)
    assert found.codebook.perplexity == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert (found.pictures, len(found.unreadable)) == (40, 1)
    shown = np.linspace(0, 40, 32).astype(int)
    assert torch.equal(found.originals, x[shown[:-1]])  # the last one would be the one that cannot be read
    assert torch.allclose(found.reconstructions, y[shown[:-1]], atol=1e-6)
    assert steps == [(16, 41), (32, 41), (41, 41)]


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0.png").write_bytes(b"no picture")
    codes = qkv.load(tiny_codes(tmp_path / "model"), device="cpu")
    data = open_pictures(tmp_path / "pictures", tmp_path / "cache", CONSOLE)
    with pytest.raises(QkvError, match=r"no picture can be read; the first: .*0.png is not a picture"):
        report(codes, data.pictures)
