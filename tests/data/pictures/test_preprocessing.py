"""Preprocessing against Pillow alone."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.config import parse
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError

HALF = (0.5, 0.5, 0.5)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_crop_scales_the_shorter_side_and_cuts_the_middle_out() -> None:
    image = picture(60, 40)
    fitted = Preprocessing(size=28, mean=HALF, std=HALF, crop=0.875, interpolation="bilinear").fit(image)
    scaled = image.resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.asarray(fitted), np.asarray(scaled)[2:30, 10:38])


def test_squash_keeps_everything() -> None:
    image = picture(60, 40)
    fitted = Preprocessing(size=16, mean=HALF, std=HALF, resize="squash").fit(image)
    np.testing.assert_array_equal(np.asarray(fitted), np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC)))


def test_a_fitting_picture_is_left_alone_and_bytes_are_scaled() -> None:
    image = picture(8, 8)
    read = Preprocessing(size=8, mean=MEAN, std=STD)(image)
    expected = (np.asarray(image) / 255 - np.array(MEAN)) / np.array(STD)
    assert read.dtype == torch.float32
    np.testing.assert_allclose(read.permute(1, 2, 0).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 1), (3, 1000)])
def test_very_long_pictures_fit_in_memory(size: tuple[int, int]) -> None:
    assert Preprocessing(size=224, mean=HALF, std=HALF).fit(picture(*size)).size == (224, 224)


def test_it_goes_through_json() -> None:
    original = Preprocessing(size=8, channels=1, mean=(0.3,), std=(0.2,), resize="squash")
    assert parse(Preprocessing, asdict(original), "config.json") == original


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"channels": 2}, {"mean": (0.5,)}, {"std": (1.0, 0.0, 1.0)}, {"crop": 0}, {"resize": "stretch"}],
)
def test_what_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(QkvError, match=next(iter(wrong))):
        parse(Preprocessing, {"size": 8, "mean": HALF, "std": HALF, **wrong}, "config.json")
