"""Augmentation: pure in its seed, and each change what it says."""

import hashlib
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.data.pictures import augmentation
from qkv.data.pictures.augmentation import AugmentationConfig, augment, mix
from qkv.data.pictures.preprocessing import Preprocessing

SIZE = 12
RGB = Preprocessing(size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3)
GREY = Preprocessing(size=SIZE, channels=1, mean=(0.5,), std=(0.5,))
EVERYTHING = AugmentationConfig(flip=True, pad=2, smallest_crop=0.5, rand_augment=2, erase=0.5)


def image(mode: str = "RGB", side: int = SIZE, height: int | None = None) -> Image.Image:
    pixels = np.random.default_rng(3).integers(1, 256, (height or side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def pixels_of(picture: Image.Image) -> torch.Tensor:
    return torch.tensor(np.asarray(picture)).permute(2, 0, 1)


@pytest.mark.parametrize(("mode", "preprocessing"), [("RGB", RGB), ("L", GREY)])
def test_the_seed_decides_everything(mode: str, preprocessing: Preprocessing) -> None:
    outcomes = []
    for seed in range(40):
        first = augment(image(mode, 17), EVERYTHING, preprocessing, seed)
        np.random.seed(seed)
        torch.rand(3)  # no generator of the process has a say
        again = augment(image(mode, 17), EVERYTHING, preprocessing, seed)
        assert torch.equal(first, again)
        assert first.shape == (preprocessing.channels, SIZE, SIZE)
        assert first.dtype == torch.uint8
        outcomes.append(first.numpy().tobytes())
    assert len(set(outcomes)) == 40


FITTED: list[dict] = [
    {},
    {"resize": "squash", "interpolation": "bilinear"},
    {"crop": 0.875, "interpolation": "nearest"},
]
AS_EVER: list[tuple[dict, str]] = [
    ({}, "0b57f9d5b388e319 792528ff9ddc2b8c 6be946c408d05800"),
    ({"flip": True, "pad": 2, "erase": 0.5}, "0faab8466844a790 b491d2c7ea27d6de 60906889672fcccb"),
    ({"smallest_crop": 0.25}, "50058ee76716b4ba 62c0ba6a2337173f 76783f99e624ceac"),
    ({"rand_augment": 2}, "18d1395a3395dfbd cf6715058c43a3c1 de827d352edc80ae"),
    ({"rand_augment": 3, "magnitude": 0.0}, "397ea6daf41cb640 c8f05bbf93b3b1f4 12550b31ecf6c639"),
    (
        {"flip": True, "pad": 2, "smallest_crop": 0.5, "rand_augment": 2, "erase": 0.5},
        "1918db3bc369e8aa 2bded6659e72627c b6c388a8ec920d6d",
    ),
]
"""What is done, and the pixels that it gave at commit 5fcd6ed, as the beginning of a SHA-256 for each way to fit."""


@pytest.mark.parametrize(("fields", "digests"), AS_EVER)
def test_the_pixels_of_a_seed_stay(fields: dict, digests: str) -> None:
    for how, expected in zip(FITTED, digests.split(), strict=True):
        found = hashlib.sha256()
        for mode, channels in (("RGB", 3), ("L", 1)):
            preprocessing = Preprocessing(
                size=SIZE, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, **how
            )
            for width, height in ((31, 23), (17, 17), (13, 140)):
                picture = image(mode, width, height)
                for seed in range(60):
                    pixels = augment(picture, AugmentationConfig(**fields), preprocessing, seed)
                    found.update(pixels.numpy().tobytes())
        assert found.hexdigest()[:16] == expected, how


def test_nothing_is_done_unless_asked_for() -> None:
    picture = image(side=31)
    assert torch.equal(augment(picture, AugmentationConfig(), RGB, 0), pixels_of(RGB.fit(picture)))


def test_flip_mirrors_half_of_the_pictures() -> None:
    plain = pixels_of(image())
    flipped = 0
    for seed in range(400):
        found = augment(image(), AugmentationConfig(flip=True), RGB, seed)
        assert torch.equal(found, plain) or torch.equal(found, plain.flip(2))
        flipped += torch.equal(found, plain.flip(2))
    assert 160 < flipped < 240


def test_pad_shifts_and_blackens() -> None:
    plain = torch.nn.functional.pad(pixels_of(image()), (2, 2, 2, 2))
    windows = {plain[:, r : r + SIZE, c : c + SIZE].numpy().tobytes() for r in range(5) for c in range(5)}
    found = {augment(image(), AugmentationConfig(pad=2), RGB, seed).numpy().tobytes() for seed in range(400)}
    assert found == windows


def test_erase_makes_noise_of_a_rectangle() -> None:
    plain = pixels_of(image("RGB"))
    for seed in range(50):
        changed = (augment(image(), AugmentationConfig(erase=1.0), RGB, seed) != plain).any(0)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.float().mean() > 0.9  # noise hardly ever repeats the pixel
        assert 0 < box.numel() <= 0.45 * SIZE * SIZE
    share = [not torch.equal(augment(image(), AugmentationConfig(erase=0.3), RGB, seed), plain) for seed in range(400)]
    assert 0.22 < np.mean(share) < 0.38


def test_crops_show_a_part_enlarged() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 240, 2, dtype=np.uint8), (120, 1)))
    spans = []
    for seed in range(60):
        found = augment(ramp, AugmentationConfig(smallest_crop=0.25), GREY, seed)[0]
        assert (found.float().std(0) < 1e-3).all()  # rows stay equal
        spans.append(int(found[0, -1]) - int(found[0, 0]))
    assert min(spans) < 150 < max(spans)


def test_a_picture_that_is_as_large_as_the_smallest_crop_needs_is_not_enlarged() -> None:
    config = AugmentationConfig(smallest_crop=0.25)
    side = config.shorter_side(RGB)
    assert side == math.ceil(SIZE / math.sqrt(0.25 * 3 / 4))  # a quarter of a square, its sides 3:4
    assert AugmentationConfig().shorter_side(RGB) == SIZE
    assert config.shorter_side(replace(RGB, crop=0.25)) == 4 * SIZE  # for where no crop fits into a picture


def test_each_operation_comes_up_as_often_and_as_strong(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, float]] = []

    def recording(number: int) -> augmentation.Operation:
        return lambda size, strength, draw: calls.append((number, strength)) or (lambda image: image)

    monkeypatch.setattr(augmentation, "_OPERATIONS", tuple(map(recording, range(14))))
    for seed in range(700):
        augment(image(), AugmentationConfig(rand_augment=2, magnitude=4.0), RGB, seed)
    counts = Counter(number for number, _ in calls)
    assert len(calls) == 1400 and len(counts) == 14
    assert min(counts.values()) > 60 and max(counts.values()) < 145
    assert {strength for _, strength in calls} == {0.4}


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_targets_are_blended_as_the_pictures_are(name: str) -> None:
    shares = set()
    for seed in range(30):
        images = torch.stack([torch.full((2, 8, 8), float(i)) for i in range(4)])
        mixed, targets = mix(images, torch.eye(4), AugmentationConfig(**{name: 1.0}), seed)
        for i in range(4):
            own, other = targets[i, i].item(), targets[i, i - 1].item()
            assert own + other == pytest.approx(1)
            assert mixed[i].mean().item() == pytest.approx(own * i + other * ((i - 1) % 4), abs=1e-5)
            if name == "cutmix":
                assert set(mixed[i].unique().tolist()) <= {i, (i - 1) % 4}
        shares.add(round(targets[0, 0].item(), 4))
    assert len(shares) > 5


def test_a_batch_has_either_mixup_or_cutmix() -> None:
    kinds = set()
    for seed in range(40):
        images = torch.stack([torch.full((1, 8, 8), float(i)) for i in (0, 1)])
        mixed, _ = mix(images, torch.eye(2), AugmentationConfig(mixup=1.0, cutmix=1.0), seed)
        kinds.add("cutmix" if set(mixed.unique().tolist()) <= {0.0, 1.0} else "mixup")
    assert kinds == {"cutmix", "mixup"}


@pytest.mark.parametrize("fields", [{"pad": -1}, {"smallest_crop": 0.0}, {"magnitude": 11}, {"erase": 1.5}])
def test_values_without_sense_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        AugmentationConfig(**fields)
