"""Each operation of RandAugment against NumPy: what is said in table 6 of Cubuk et al. 2020, in its authors' ranges."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qkv.data.pictures.augmentation import _OPERATIONS

Array = NDArray[np.float64]
NAMES = (
    *("identity", "autocontrast", "equalize", "rotate", "solarize", "posterize", "colour", "contrast", "brightness"),
    *("sharpness", "shear x", "shear y", "translate x", "translate y"),
)
SIDE = 24
STRENGTHS = [0.5, 1.0]
PIXELS = np.random.default_rng(3).integers(40, 181, (SIDE, SIDE, 3), dtype=np.uint8)


class Chosen(random.Random):
    """Takes the first of two, or the second: a change one way or the other."""

    def __init__(self, place: int) -> None:
        super().__init__(0)
        self.place = place

    def choice(self, values):
        return values[self.place]


def operate(name: str, pixels: NDArray[np.uint8], strength: float, place: int = 0) -> Array:
    image = Image.fromarray(pixels)
    changed = _OPERATIONS[NAMES.index(name)](image.size, strength, Chosen(place))(image)
    assert changed.mode == ("RGB" if pixels.ndim == 3 else "L") and changed.size == pixels.shape[1::-1]
    return np.asarray(changed).astype(np.float64)


def grey(pixels: Array) -> Array:
    return (pixels @ [0.299, 0.587, 0.114])[..., None]


def smooth(pixels: Array) -> Array:
    """The mean over 3 x 3 pixels, the middle one five times; as it is at the edge."""
    blurred = pixels.copy()
    inner = sum(np.roll(pixels, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)) + 4 * pixels
    blurred[1:-1, 1:-1] = inner[1:-1, 1:-1] / 13
    return blurred


BETWEEN: dict[str, Callable[[Array], Array | float]] = {
    "colour": grey,
    "contrast": lambda pixels: grey(pixels).mean(),
    "brightness": lambda pixels: 0.0,
    "sharpness": smooth,
}
"""What a picture is without its colour, contrast, brightness, sharpness."""


def test_the_operations_are_those_of_the_paper() -> None:
    assert len(_OPERATIONS) == len(NAMES) == 14
    np.testing.assert_array_equal(operate("identity", PIXELS, 1.0), PIXELS)


def test_autocontrast_stretches_each_channel() -> None:
    values = PIXELS.astype(float)
    low, high = values.min((0, 1)), values.max((0, 1))
    assert np.abs(operate("autocontrast", PIXELS, 1.0) - (values - low) / (high - low) * 255).max() <= 1


def test_equalize_makes_all_values_as_frequent_and_keeps_their_order() -> None:
    dark = (np.linspace(0, 1, 4096) ** 3 * 200).astype(np.uint8).reshape(64, 64)
    found = operate("equalize", dark, 1.0).flatten()
    assert (np.diff(found) >= 0).all()
    quarters = np.quantile(found, [0.25, 0.5, 0.75])
    assert np.abs(quarters - [64, 128, 191]).max() < 32 < np.abs(np.quantile(dark, [0.25, 0.5, 0.75]) - quarters).max()


@pytest.mark.parametrize(("strength", "bits"), [(0.0, 8), (0.5, 6), (1.0, 4)])
def test_posterize_keeps_the_highest_bits(strength: float, bits: int) -> None:
    np.testing.assert_array_equal(operate("posterize", PIXELS, strength), PIXELS >> (8 - bits) << (8 - bits))


@pytest.mark.parametrize(("strength", "threshold"), [(0.0, 256), (0.5, 128), (1.0, 0)])
def test_solarize_inverts_what_is_bright(strength: float, threshold: int) -> None:
    np.testing.assert_array_equal(
        operate("solarize", PIXELS, strength), np.where(threshold > PIXELS, PIXELS, 255 - PIXELS)
    )


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(("place", "sign"), [(0, -1), (1, 1)])
@pytest.mark.parametrize("name", BETWEEN)
def test_less_and_more_of_something(name: str, place: int, sign: int, strength: float) -> None:
    values = PIXELS.astype(float)
    without = BETWEEN[name](values)
    expected = (without + (1 + 0.9 * sign * strength) * (values - without)).clip(0, 255)
    found = operate(name, PIXELS, strength, place)
    assert np.abs(found - expected).max() <= 2
    assert np.abs(found - values).mean() > 4


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(("place", "sign"), [(0, -1), (1, 1)])
@pytest.mark.parametrize("name", ["rotate", "shear x", "shear y", "translate x", "translate y"])
def test_pixels_are_taken_from_where_they_should_be(name: str, place: int, sign: int, strength: float) -> None:
    amount = sign * strength
    angle = np.radians(30 * amount)
    matrix, shift = {
        "rotate": ([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], [0, 0]),
        "shear x": ([[1, 0.3 * amount], [0, 1]], [0, 0]),
        "shear y": ([[1, 0], [0.3 * amount, 1]], [0, 0]),
        "translate x": ([[1, 0], [0, 1]], [0.45 * SIDE * amount, 0]),
        "translate y": ([[1, 0], [0, 1]], [0, 0.45 * SIDE * amount]),
    }[name]
    centre = SIDE / 2 if name == "rotate" else 0.0
    places = np.stack(np.meshgrid(*[np.arange(SIDE) + 0.5] * 2), -1)
    x, y = np.moveaxis((places - centre) @ np.array(matrix).T + centre + shift, -1, 0)
    # A slope, which interpolation between pixels leaves as it is; black where there is nothing to take.
    slope = (60 + 4 * places[..., 0] + 3 * places[..., 1]).round().astype(np.uint8)
    found = operate(name, slope, strength, place)
    inside = (np.minimum(x, y) > 1) & (np.maximum(x, y) < SIDE - 1)
    outside = (np.minimum(x, y) < -0.01) | (np.maximum(x, y) > SIDE + 0.01)
    assert inside.sum() > 0.3 * SIDE**2 and outside.sum() > 0.02 * SIDE**2
    assert np.abs(found - (60 + 4 * x + 3 * y))[inside].max() <= 1.5
    assert (found[outside] == 0).all()
