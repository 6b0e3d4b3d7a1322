"""What a source of pictures is like, from a look at a few hundred of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 200


@dataclass(frozen=True)
class Measure:
    """What a source is like: pictures, pixels of the shorter side of a typical one, and 1 channel if all are grey."""

    pictures: int
    side: int
    channels: int

    @classmethod
    def joined(cls, parts: Sequence["Measure"]) -> "Measure":
        """Of several sources together; typical is what is so in the largest."""
        largest = max(parts, key=lambda part: part.pictures)
        return cls(sum(part.pictures for part in parts), largest.side, max(part.channels for part in parts))


def measure(source: PictureSource, labelled: bool = True, reporter: Reporter | None = None) -> Measure:
    """Look at a few hundred pictures of a source.

    Args:
        source: where they are.
        labelled: whether their classes matter; if not, none need be there.
        reporter: is told of the work, if there is one.

    Raises:
        QkvError: the source cannot be used, or none of these pictures can be read.
    """
    return measure_pictures(Pictures.open(source, labelled=labelled, reporter=reporter), source.path)


def measure_pictures(pictures: Pictures, where: Path) -> Measure:
    """Look at a few hundred pictures.

    Args:
        pictures: the pictures.
        where: they come from, for messages.

    Raises:
        QkvError: none of these can be read.
    """
    sides, grey, fault = [], True, ""
    for index in np.unique(np.linspace(0, len(pictures) - 1, _SAMPLE).astype(int)).tolist():
        try:
            picture = pictures.picture(index, 3)
        except QkvError as error:
            fault = str(error)
            continue
        sides.append(min(picture.size))
        red, green, blue = picture.split()
        grey = grey and red == green == blue
    if not sides:
        raise QkvError(f"{where}: no picture can be read; the last tried: {fault}")
    return Measure(len(pictures), int(np.median(sides)), 1 if grey else 3)
