"""Boxes go where the pixels go."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.data.pictures.augmentation import AugmentationConfig, draw_changes
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.pictures.transforms import (
    Change,
    Geometric,
    affine,
    apply,
    carry,
    cut,
    erase,
    flip,
    rotate,
    scale,
)

WIDTH, HEIGHT = SIZE = 60, 40
BILINEAR = Image.Resampling.BILINEAR
GEOMETRIC: dict[str, Callable[[random.Random], Geometric]] = {
    "cut": lambda draw: cut((30, 25), draw.randint(0, 30), draw.randint(0, 15)),
    "shift": lambda draw: cut(SIZE, draw.randint(-9, 9), draw.randint(-9, 9)),
    "scale": lambda draw: scale((draw.randint(20, 90), 50), (0, 0, WIDTH, HEIGHT), BILINEAR),
    "scale a part": lambda draw: scale((48, 64), (draw.randint(0, 20), draw.randint(0, 10), 50, 38), BILINEAR),
    "flip": lambda draw: flip(SIZE),
    "rotate": lambda draw: rotate(SIZE, draw.uniform(-60, 60)),
    "shear x": lambda draw: affine(SIZE, (1, draw.uniform(-0.5, 0.5), 0, 0, 1, 0)),
    "shear y": lambda draw: affine(SIZE, (1, 0, 0, draw.uniform(-0.5, 0.5), 1, 0)),
    "affine": lambda draw: affine(SIZE, (1.1, draw.uniform(-0.3, 0.3), 4, draw.uniform(-0.2, 0.2), 0.9, 2)),
}


def rectangle(box: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> Image.Image:
    image = Image.new("L", size)
    image.paste(255, box)
    return image


def some_box(draw: random.Random) -> tuple[int, int, int, int]:
    left, top = draw.randint(0, WIDTH - 12), draw.randint(0, HEIGHT - 12)
    return left, top, left + draw.randint(6, 12), top + draw.randint(6, 12)


def bright(image: Image.Image, above: int) -> torch.Tensor | None:
    """The bounds of what is bright."""
    rows, columns = (np.flatnonzero((np.asarray(image) > above).any(axis)) for axis in (1, 0))
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float() if len(rows) else None


def check(changes: list[Change], box: tuple[int, int, int, int], tight: bool = True) -> bool:
    """That the box still bounds the bright pixels; whether any are left."""
    changed = apply(changes, rectangle(box))
    (found,), (visible,) = carry(changes, torch.tensor([box]).float())
    width, height = changed.size
    assert 0 <= found[0] <= found[2] <= width and 0 <= found[1] <= found[3] <= height
    expected = bright(changed, 127)
    if expected is None:
        assert not visible or (found[2:] - found[:2]).min() < 3  # a corner that is too thin to be seen
        return False
    assert visible
    assert (expected[:2] >= found[:2] - 1).all() and (expected[2:] <= found[2:] + 1).all()  # nothing bright outside
    assert not tight or (expected - found).abs().max() < 2  # and no room to spare
    return True


@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_box_still_bounds_its_pixels(name: str) -> None:
    draw, left = random.Random(1), 0
    for _ in range(60):
        # A corner that is cut off takes the tip of a turned rectangle with it, but not of the box around that.
        change, box = GEOMETRIC[name](draw), some_box(draw)
        left += check([change], box, tight=name not in ("rotate", "shear x", "shear y", "affine"))
    assert left > 20


@pytest.mark.parametrize("name", ["rotate", "shear x", "shear y", "affine"])
def test_a_box_within_the_picture_is_as_small_as_can_be(name: str) -> None:
    draw = random.Random(2)
    for _ in range(40):
        check([GEOMETRIC[name](draw)], (27, 16, 34, 24))


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_boxes_follow_what_a_picture_is_trained_on(resize: str) -> None:
    config = AugmentationConfig(flip=True, pad=5, smallest_crop=0.3, rand_augment=2)
    plain = Preprocessing(size=32, channels=1, mean=(0.5,), std=(0.5,), resize=resize, crop=0.9)  # pyright: ignore
    draw, seen = random.Random(3), 0
    for seed in range(150):
        box = some_box(draw)
        changes = draw_changes(SIZE, config, plain, seed)
        moves = [change for change in changes if isinstance(change, Geometric)]  # colours might hide the rectangle
        seen += check(moves, box, tight=False)
        assert torch.equal(carry(moves, torch.tensor([box]).float())[0], carry(changes, torch.tensor([box]).float())[0])
        check(list(plain.steps(SIZE)), box)
    assert seen > 50


def test_what_is_outside_is_told() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [5, 5, 20, 20], [30, 0, 40, 10]]).float()
    found, visible = carry([cut((10, 10), 10, 10)], boxes)
    assert visible.tolist() == [False, True, False]
    assert found[1].tolist() == [0, 0, 10, 10]
    assert carry([cut((10, 10), 30, 0), cut(SIZE, -5, 0), rotate(SIZE, 30)], boxes)[1].tolist() == [False, False, True]


@pytest.mark.parametrize("change", [*(make(random.Random(4)) for make in GEOMETRIC.values())])
def test_no_boxes_are_no_trouble(change: Geometric) -> None:
    boxes, visible = carry([change, erase((4, 4), 1, 1, bytes(16))], torch.empty(0, 4))
    assert boxes.shape == (0, 4) and visible.shape == (0,)


def test_photometric_changes_leave_boxes_where_they_are() -> None:
    boxes = torch.tensor([[1.0, 2, 5, 7]])
    noise = erase((3, 2), 4, 1, bytes(range(1, 7)))
    assert torch.equal(carry([noise], boxes)[0], boxes)
    expected = np.zeros((HEIGHT, WIDTH))
    expected[1:3, 4:7] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(np.asarray(noise(Image.new("L", SIZE))), expected)
