"""Random changes to training pictures, each a pure function of a seed."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from qkv.data.pictures.preprocessing import RESAMPLING, Preprocessing, to_pixels

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
        for name in ("pad", "rand_augment", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 < self.smallest_crop <= 1:
            raise ValueError(f"smallest_crop must be above 0 and at most 1, not {self.smallest_crop}")
        if not 0 <= self.magnitude <= _HIGHEST:
            raise ValueError(f"magnitude must be from 0 to {_HIGHEST:.0f}, not {self.magnitude}")
        if not 0 <= self.erase <= 1:
            raise ValueError(f"erase must be from 0 to 1, not {self.erase}")

    def shorter_side(self, preprocessing: Preprocessing) -> int:
        """Pixels of a picture's shorter side from which on not even the smallest crop has to be enlarged."""
        if self.smallest_crop == 1:
            return preprocessing.shorter_side
        longest = math.ceil(preprocessing.size / math.sqrt(self.smallest_crop * 3 / 4))  # of 3:4
        return max(preprocessing.shorter_side, longest)


def augment(
    image: Image.Image, config: AugmentationConfig, preprocessing: Preprocessing, seed: int
) -> UInt8[Tensor, "C H W"]:
    """A picture as it is trained on, before it is normalised.

    Args:
        image: of the right mode.
        config: what to do.
        preprocessing: size and interpolation; the size is larger than `config.pad`.
        seed: the same seed does the same.
    """
    draw = random.Random(seed)
    if config.smallest_crop < 1:
        image = _resized_crop(image, config.smallest_crop, preprocessing, draw)
    else:
        image = preprocessing.fit(image)
    for _ in range(config.rand_augment):
        image = draw.choice(_OPERATIONS)(image, config.magnitude / _HIGHEST, draw)
    pixels = to_pixels(image).numpy()
    if config.flip and draw.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    if config.pad:
        pixels = _shifted(pixels, draw.randint(-config.pad, config.pad), draw.randint(-config.pad, config.pad))
    if config.erase and draw.random() < config.erase:
        pixels = _erased(pixels, draw)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def mix(
    images: Float[Tensor, "B C H W"], targets: Float[Tensor, "B K"], config: AugmentationConfig, seed: int
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B K"]]:
    """Blend each picture of a batch, and its target, with the one before it."""
    draw = random.Random(seed)
    cut = config.cutmix and (not config.mixup or draw.random() < 0.5)
    alpha = config.cutmix if cut else config.mixup
    if not alpha:
        return images, targets
    share = draw.betavariate(alpha, alpha)
    others = images.roll(1, 0)
    if cut:
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
    """An interval of that share of the length around a random middle, cut off at the ends."""
    middle, half = draw.randrange(length), int(length * share / 2)
    return max(middle - half, 0), min(middle + half, length)


def _resized_crop(
    image: Image.Image, smallest: float, preprocessing: Preprocessing, draw: random.Random
) -> Image.Image:
    width, height = image.size
    size = (preprocessing.size, preprocessing.size)
    for _ in range(10):
        area = draw.uniform(smallest, 1) * width * height
        ratio = 2 ** draw.uniform(-0.415, 0.415)  # 3:4 to 4:3
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = draw.randint(0, width - w), draw.randint(0, height - h)
            return image.resize(size, RESAMPLING[preprocessing.interpolation], (left, top, left + w, top + h))
    return preprocessing.fit(image)


def _shifted(pixels: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    shifted = np.zeros_like(pixels)
    height, width = pixels.shape[1:]
    shifted[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = pixels[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return shifted


def _erased(pixels: NDArray[np.uint8], draw: random.Random) -> NDArray[np.uint8]:
    channels, height, width = pixels.shape
    area, ratio = draw.uniform(0.02, 1 / 3) * height * width, 2 ** draw.uniform(-1.74, 1.74)  # 0.3 to 3.3
    h, w = min(round((area * ratio) ** 0.5), height), min(round((area / ratio) ** 0.5), width)
    top, left = draw.randint(0, height - h), draw.randint(0, width - w)
    erased = pixels.copy()
    erased[:, top : top + h, left : left + w] = np.frombuffer(draw.randbytes(channels * h * w), np.uint8).reshape(
        channels, h, w
    )
    return erased


Operation = Callable[[Image.Image, float, random.Random], Image.Image]
"""Picture, strength from 0 to 1, source of chance."""


def _plain(change: Callable[[Image.Image], Image.Image]) -> Operation:
    return lambda image, strength, draw: change(image)


def _enhanced(enhance: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    # From 0.1, hardly there, over 1, as it is, to 1.9.
    return lambda image, strength, draw: enhance(image).enhance(1 + draw.choice((-0.9, 0.9)) * strength)


def _affine(matrix: Callable[[float, int], tuple[float, ...]], most: float) -> Operation:
    def operate(image: Image.Image, strength: float, draw: random.Random) -> Image.Image:
        values = matrix(draw.choice((-1, 1)) * strength * most, image.width)
        return image.transform(image.size, Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)

    return operate


def _rotated(image: Image.Image, strength: float, draw: random.Random) -> Image.Image:
    return image.rotate(draw.choice((-30, 30)) * strength, Image.Resampling.BILINEAR)


_OPERATIONS: tuple[Operation, ...] = (
    _plain(lambda image: image),
    _plain(ImageOps.autocontrast),
    _plain(ImageOps.equalize),
    _rotated,
    lambda image, strength, draw: ImageOps.solarize(image, round(256 * (1 - strength))),
    lambda image, strength, draw: ImageOps.posterize(image, 8 - round(4 * strength)),
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Sharpness),
    _affine(lambda amount, width: (1, amount, 0, 0, 1, 0), 0.3),
    _affine(lambda amount, width: (1, 0, 0, amount, 1, 0), 0.3),
    _affine(lambda amount, width: (1, 0, amount * width, 0, 1, 0), 0.45),
    _affine(lambda amount, width: (1, 0, 0, 0, 1, amount * width), 0.45),
)
"""The fourteen of RandAugment, table 6, in the ranges of its authors."""
