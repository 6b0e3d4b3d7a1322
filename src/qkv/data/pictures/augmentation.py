"""Random changes to training pictures, each a pure function of a seed."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, UInt8
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from qkv.config import check_range
from qkv.data.pictures.preprocessing import RESAMPLING, Preprocessing, to_pixels
from qkv.data.pictures.transforms import Change, Geometric, Matrix, Size, affine, apply, cut, erase, flip, rotate, scale

_HIGHEST = 10.0


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """What is done to training pictures; nothing unless set.

    Attributes:
        flip: mirror every second picture.
        pad: shift by up to so many pixels each way; what comes in is black.
        smallest_crop: least share of the area to crop and enlarge (Szegedy et al. 2015, section 6); 1 is all of it.
        rand_augment: operations a picture (Cubuk et al. 2020, RandAugment).
        magnitude: of these operations, up to 10.
        erase: share of the pictures in which a rectangle becomes noise (Zhong et al. 2020).
        mixup: parameter of the Beta distribution from which pairs are blended (Zhang et al. 2018); 0 is off.
        cutmix: the same, with rectangles exchanged instead (Yun et al. 2019). Where both are on, a batch has either.
    """

    flip: bool = False
    pad: int = 0
    smallest_crop: float = 1.0
    rand_augment: int = 0
    magnitude: float = 9.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, 0, 2**12, "pad")
        check_range(self, 0, 100, "rand_augment", "mixup", "cutmix")
        if not 0 < self.smallest_crop <= 1:
            raise ValueError(f"smallest_crop must be above 0 and at most 1, not {self.smallest_crop}")
        if not 0 <= self.magnitude <= _HIGHEST:
            raise ValueError(f"magnitude must be from 0 to {_HIGHEST:.0f}, not {self.magnitude}")
        if not 0 <= self.erase <= 1:
            raise ValueError(f"erase must be from 0 to 1, not {self.erase}")

    def shorter_side(self, preprocessing: Preprocessing) -> int:
        """The shorter side, in pixels, of a picture whose smallest crop need not be enlarged."""
        if self.smallest_crop == 1:
            return preprocessing.shorter_side
        longest = math.ceil(preprocessing.size / math.sqrt(self.smallest_crop * 3 / 4))  # of 3:4
        return max(preprocessing.shorter_side, longest)


def augment(
    image: Image.Image, config: AugmentationConfig, preprocessing: Preprocessing, seed: int
) -> UInt8[Tensor, "C H W"]:
    """A picture of the right mode as it is trained on, before it is normalised; the same seed does the same."""
    return to_pixels(apply(draw_changes(image.size, config, preprocessing, seed), image))


def draw_changes(size: Size, config: AugmentationConfig, preprocessing: Preprocessing, seed: int) -> list[Change]:
    """What `augment` does to a picture of this size with this seed; `carry` takes boxes the same way."""
    draw = random.Random(seed)
    changes: list[Change] = [*_resized_crop(size, config.smallest_crop, preprocessing, draw)]
    square = (preprocessing.size, preprocessing.size)
    for _ in range(config.rand_augment):
        changes.append(draw.choice(_OPERATIONS)(square, config.magnitude / _HIGHEST, draw))
    if config.flip and draw.random() < 0.5:
        changes.append(flip(square))
    if config.pad:
        down, right = draw.randint(-config.pad, config.pad), draw.randint(-config.pad, config.pad)
        changes.append(cut(square, -right, -down))
    if config.erase and draw.random() < config.erase:
        changes.append(_erase(preprocessing.size, preprocessing.channels, draw))
    return changes


def mix(
    images: Float[Tensor, "B C H W"], targets: Float[Tensor, "B K"], config: AugmentationConfig, seed: int
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B K"]]:
    """Blend each picture of a batch, and its target, with the one before it."""
    draw = random.Random(seed)
    exchange = config.cutmix and (not config.mixup or draw.random() < 0.5)
    alpha = config.cutmix if exchange else config.mixup
    if not alpha:
        return images, targets
    share = draw.betavariate(alpha, alpha)
    others = images.roll(1, 0)
    if exchange:
        height, width = images.shape[2:]
        side = (1 - share) ** 0.5
        top, bottom = _interval(height, side, draw)
        left, right = _interval(width, side, draw)
        images = images.clone()
        images[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        images = images * share + others * (1 - share)
    return images, targets * share + targets.roll(1, 0) * (1 - share)


def _interval(length: int, share: float, draw: random.Random) -> tuple[int, int]:
    """An interval around a random middle, of this share of the length, clipped at the ends."""
    middle, half = draw.randrange(length), int(length * share / 2)
    return max(middle - half, 0), min(middle + half, length)


def _resized_crop(size: Size, smallest: float, preprocessing: Preprocessing, draw: random.Random) -> list[Geometric]:
    width, height = size
    for _ in range(10 if smallest < 1 else 0):
        area = draw.uniform(smallest, 1) * width * height
        ratio = 2 ** draw.uniform(-0.415, 0.415)  # 3:4 to 4:3
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = draw.randint(0, width - w), draw.randint(0, height - h)
            part, square = (left, top, left + w, top + h), (preprocessing.size, preprocessing.size)
            return [scale(square, part, RESAMPLING[preprocessing.interpolation])]
    return preprocessing.steps(size)


def _erase(side: int, channels: int, draw: random.Random) -> Change:
    area, ratio = draw.uniform(0.02, 1 / 3) * side * side, 2 ** draw.uniform(-1.74, 1.74)  # 0.3 to 3.3
    h, w = min(round((area * ratio) ** 0.5), side), min(round((area / ratio) ** 0.5), side)
    top, left = draw.randint(0, side - h), draw.randint(0, side - w)
    return erase((w, h), left, top, draw.randbytes(channels * h * w))


Operation = Callable[[Size, float, random.Random], Change]
"""Draws a change for pictures of this size, at a strength from 0 to 1."""


def _enhance(what: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    def draw_change(size: Size, strength: float, draw: random.Random) -> Change:
        amount = 1 + draw.choice((-0.9, 0.9)) * strength  # from 0.1, hardly there, over 1, as it is, to 1.9
        return lambda image: what(image).enhance(amount)

    return draw_change


def _affine(source: Callable[[float, int], Matrix], most: float) -> Operation:
    return lambda size, strength, draw: affine(size, source(draw.choice((-1, 1)) * strength * most, size[0]))


_OPERATIONS: tuple[Operation, ...] = (
    lambda size, strength, draw: lambda image: image,
    lambda size, strength, draw: ImageOps.autocontrast,
    lambda size, strength, draw: ImageOps.equalize,
    lambda size, strength, draw: rotate(size, draw.choice((-30, 30)) * strength),
    lambda size, strength, draw: partial(ImageOps.solarize, threshold=round(256 * (1 - strength))),
    lambda size, strength, draw: partial(ImageOps.posterize, bits=8 - round(4 * strength)),
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Brightness),
    _enhance(ImageEnhance.Sharpness),
    _affine(lambda amount, width: (1, amount, 0, 0, 1, 0), 0.3),
    _affine(lambda amount, width: (1, 0, 0, amount, 1, 0), 0.3),
    _affine(lambda amount, width: (1, 0, amount * width, 0, 1, 0), 0.45),
    _affine(lambda amount, width: (1, 0, 0, 0, 1, amount * width), 0.45),
)
"""The fourteen of RandAugment, table 6, in the ranges of its authors."""
