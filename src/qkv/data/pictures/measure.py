"""What a source of pictures is like, from a look at a few hundred of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Self

import numpy as np
from PIL import ImageChops

from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.reading import ahead, or_error
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 200
_AT_ONCE = 1  # in whole; the next one is read meanwhile


@dataclass(frozen=True)
class Measure:
    """What a source is like."""

    pictures: int
    side: int  # pixels of the shorter side of a typical one
    channels: int  # 1 if all are grey, else 3

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several sources as one: the sum of pictures, the side of the largest source, the maximum of the rest."""
        most = {field.name: max(getattr(part, field.name) for part in parts) for field in fields(cls)}
        largest = max(parts, key=lambda part: part.pictures)
        return cls(**{**most, "pictures": sum(part.pictures for part in parts), "side": largest.side})


def measure(source: PictureSource, labelled: bool = True, reporter: Reporter | None = None) -> Measure:
    """Look at a few hundred pictures of a source, which need no classes unless `labelled`."""
    return measure_pictures(open_pictures(source, labelled=labelled, reporter=reporter))


def measure_pictures(pictures: Pictures) -> Measure:
    """Look at a few hundred pictures, of which one at least must be readable."""
    sides, grey, fault = [], True, ""
    for [(_, look)] in ahead(some_of(len(pictures), _SAMPLE), or_error(partial(_look, pictures)), _AT_ONCE):
        if isinstance(look, QkvError):
            fault = str(look)
            continue
        side, without_colour = look
        sides.append(side)
        grey = grey and without_colour
    if not sides:
        raise QkvError(f"{pictures.path}: no picture can be read; the last tried: {fault}")
    return Measure(len(pictures), int(np.median(sides)), 1 if grey else 3)


def _look(pictures: Pictures, index: int) -> tuple[int, bool]:
    """The shorter side of a picture, and whether it is grey."""
    picture = pictures.picture(index, channels=3)
    red, green, blue = (picture.getchannel(channel) for channel in range(3))
    grey = all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue))
    return min(picture.size), grey


def some_of(total: int, count: int) -> list[int]:
    """`count` numbers of 0 to `total` - 1, evenly spaced; all if there are fewer."""
    return np.unique(np.linspace(0, total - 1, count).astype(int)).tolist()
