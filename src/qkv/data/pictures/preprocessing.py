"""From a picture to what a model reads."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from qkv.config import LARGEST_IMAGE, check_range
from qkv.data.pictures.transforms import Geometric, Size, apply, cut, scale

Resize = Literal["crop", "squash"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

RESAMPLING = {name: Image.Resampling[name.upper()] for name in get_args(Interpolation)}

_LEAST_STD = 1e-4
_LONGEST = 8  # times the shorter side


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Size and scale of what a model reads.

    Attributes:
        size: pixels of a side.
        channels: 3 for colour, 1 for grey.
        mean: of each channel, from 0 to 1, which is taken off.
        std: of each channel, which the rest is divided by.
        resize: `crop` scales the shorter side to `size` and cuts the middle out; `squash` scales each side to `size`.
        crop: share of the shorter side that `crop` keeps.
        interpolation: between pixels.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3
    resize: Resize = "crop"
    crop: float = 1.0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        check_range(self, 1, LARGEST_IMAGE, "size")
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, not {self.channels}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"{name} needs {self.channels} numbers, one a channel, not {len(getattr(self, name))}")
        if not min(self.std) >= _LEAST_STD:
            raise ValueError(f"std must be at least {_LEAST_STD}, not {min(self.std)}")
        if not max(map(abs, self.mean)) <= 1 / _LEAST_STD:
            raise ValueError(f"mean must be a number from 0 to 1, not {max(self.mean, key=abs)}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop}")
        if (pixels := self.size / self.crop) > 2 * LARGEST_IMAGE:
            raise ValueError(f"crop {self.crop} scales pictures to {pixels:,.0f} pixels: raise it")

    @property
    def shorter_side(self) -> int:
        """Pixels that the shorter side of a picture is scaled to, before the rest is cut off."""
        return self.size if self.resize == "squash" else round(self.size / self.crop)

    def fit(self, image: Image.Image) -> Image.Image:
        """The picture with `size` x `size` pixels."""
        return apply(self.steps(image.size), image)

    def steps(self, size: Size) -> list[Geometric]:
        """What `fit` does to a picture of this size, one after the other."""
        square, filter_ = (self.size, self.size), RESAMPLING[self.interpolation]
        if self.resize == "squash":
            return [] if size == square else [scale(square, (0, 0, *size), filter_)]
        steps: list[Geometric] = []
        # The middle of a very long picture: all of it, once its shorter side is scaled up, might not fit into memory.
        left, top = (max((side - _LONGEST * min(size)) // 2, 0) for side in size)
        if left or top:
            size = size[0] - 2 * left, size[1] - 2 * top
            steps.append(cut(size, left, top))
        larger = self.shorter_side / min(size)
        width, height = (max(round(side * larger), self.size) for side in size)
        if (width, height) != size:
            steps.append(scale((width, height), (0, 0, *size), filter_))
        return [*steps, cut(square, round((width - self.size) / 2), round((height - self.size) / 2))]

    def normalise(self, pixels: UInt8[Tensor, "*B C H W"]) -> Float[Tensor, "*B C H W"]:
        """Bytes as the model reads them."""
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def __call__(self, image: Image.Image) -> Float[Tensor, "C H W"]:
        """A picture of the right mode, fitted and normalised."""
        return self.normalise(to_pixels(self.fit(image)))


def fitting(source: Any) -> dict[str, Any]:
    """What a configuration or a `Preprocessing` says of how pictures are made to fit."""
    return {name: getattr(source, name) for name in ("resize", "crop", "interpolation")}


def to_pixels(image: Image.Image) -> UInt8[Tensor, "C H W"]:
    """The bytes of a grey or colour picture."""
    pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def to_images(pixels: Float[Tensor, "B C H W"]) -> list[Image.Image]:
    """Pictures, grey or in colour, of numbers from 0 to 1."""
    arrays = (pixels * 255).round().byte().cpu().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(array[..., 0] if array.shape[2] == 1 else array) for array in arrays]
