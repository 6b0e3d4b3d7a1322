"""Changes to a picture, in two kinds: geometric ones carry boxes along, photometric ones see pixels only.

Each is made once, for a picture of a known size, and then applied as often as need be, so that pixels and boxes go the
same way.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

Change = Callable[[Image.Image], Image.Image]
"""Of either kind: one that is no `Geometric` is photometric, and leaves everything where it is."""

Size = tuple[int, int]
"""Width and height in pixels."""

Matrix = tuple[float, float, float, float, float, float]
"""a to f, which take a point (x, y) in pixels to (a x + b y + c, d x + e y + f)."""


@dataclass(frozen=True)
class Geometric:
    """A change of where things are, by an affine map."""

    size: Size  # of the picture afterwards
    matrix: Matrix  # where each point goes
    pixels: Change  # does the same to the picture; black is where nothing was

    def __call__(self, image: Image.Image) -> Image.Image:
        """The picture afterwards."""
        return self.pixels(image)

    def boxes(self, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
        """Boxes, x0 y0 x1 y1 in pixels, around the same things as before; clipped to the picture."""
        a, b, c, d, e, f = self.matrix
        x, y = boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]]  # [N, 4]: of each corner
        x, y = (a * x + b * y + c).clamp(0, self.size[0]), (d * x + e * y + f).clamp(0, self.size[1])
        return torch.stack([x.amin(1), y.amin(1), x.amax(1), y.amax(1)], 1)


def apply(changes: Iterable[Change], image: Image.Image) -> Image.Image:
    """A picture after changes, one after the other."""
    for change in changes:
        image = change(image)
    return image


def carry(changes: Iterable[Change], boxes: Float[Tensor, "N 4"]) -> tuple[Float[Tensor, "N 4"], Bool[Tensor, "N"]]:
    """Boxes, x0 y0 x1 y1 in pixels, after the same changes; and which of them still hold some of the picture."""
    visible = torch.ones(len(boxes), dtype=torch.bool)
    for change in changes:
        if isinstance(change, Geometric):
            boxes = change.boxes(boxes)
            visible &= (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes, visible


def cut(size: Size, left: int, top: int) -> Geometric:
    """A window of this size, from `left`, `top` on; it may reach beyond the picture."""
    box = (left, top, left + size[0], top + size[1])
    return Geometric(size, (1, 0, -left, 0, 1, -top), lambda image: image.crop(box))


def scale(size: Size, part: tuple[int, int, int, int], resampling: Image.Resampling) -> Geometric:
    """A part of the picture, left top right bottom, in this size."""
    left, top, right, bottom = part
    x, y = size[0] / (right - left), size[1] / (bottom - top)
    return Geometric(size, (x, 0, -x * left, 0, y, -y * top), lambda image: image.resize(size, resampling, part))


def flip(size: Size) -> Geometric:
    """Left is right."""
    return Geometric(size, (-1, 0, size[0], 0, 1, 0), lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def rotate(size: Size, degrees: float) -> Geometric:
    """Turned around the middle, against the clock; what leaves the picture is lost."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = size[0] / 2, size[1] / 2
    matrix = (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)
    return Geometric(size, matrix, lambda image: image.rotate(degrees, Image.Resampling.BILINEAR))


def affine(size: Size, source: Matrix) -> Geometric:
    """Sheared and moved: `source` takes each point of the picture afterwards to where it comes from."""
    a, b, c, d, e, f = source
    area = a * e - b * d
    a, b, d, e = e / area, -b / area, -d / area, a / area
    matrix = (a, b, -(a * c + b * f), d, e, -(d * c + e * f))
    how = Image.Transform.AFFINE, source, Image.Resampling.BILINEAR
    return Geometric(size, matrix, lambda image: image.transform(size, *how))


def erase(size: Size, left: int, top: int, noise: bytes) -> Change:
    """A rectangle of this size, from `left`, `top` on, becomes noise: bytes [C, h, w]. Photometric: nothing moves."""

    def erased(image: Image.Image) -> Image.Image:
        pixels = np.array(image)
        area = pixels[top : top + size[1], left : left + size[0]]  # [h, w] or [h, w, C]
        area[...] = np.frombuffer(noise, np.uint8).reshape(-1, area.shape[0] * area.shape[1]).T.reshape(area.shape)
        return Image.fromarray(pixels)

    return erased if noise else lambda image: image
