"""Pictures in order, read when they are needed."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from qkv.data.pictures.preprocessing import Preprocessing, to_pixels
from qkv.data.reading import ahead, or_error
from qkv.errors import QkvError


@dataclass(frozen=True)
class PictureBatch:
    """Some pictures of a list."""

    numbers: list[int]  # of those that can be read
    pixels: UInt8[Tensor, "B C H W"]  # of these
    unreadable: list[str]  # one line for each of the others


class PictureList(ABC):
    """Pictures under numbers from 0 on, read when they are needed; QkvError names one that cannot be."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def picture(self, index: int, channels: int, enough: int) -> Image.Image:
        """One picture, with `channels` and `enough` as `open_picture` takes them; safe in threads."""

    def pixels(self, index: int, preprocessing: Preprocessing) -> UInt8[Tensor, "C H W"]:
        """A picture at the size of a model, in bytes."""
        return to_pixels(preprocessing.fit(self.picture(index, preprocessing.channels, preprocessing.shorter_side)))

    def batches(self, preprocessing: Preprocessing, at_once: int = 64) -> Iterator[PictureBatch]:
        """All pictures in order, so many at once, at the size of a model."""
        none = torch.empty(0, preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
        read = or_error(partial(self.pixels, preprocessing=preprocessing))
        for batch in ahead(range(len(self)), read, at_once):
            good = {index: pixels for index, pixels in batch if isinstance(pixels, Tensor)}
            unreadable = [str(error) for _, error in batch if isinstance(error, QkvError)]
            yield PictureBatch(list(good), torch.stack(list(good.values())) if good else none, unreadable)


class EvenSample:
    """An evenly spaced sample of `count` of `total` pictures, which arrive in order; some cannot be read."""

    def __init__(self, total: int, count: int) -> None:
        self._due = deque(torch.linspace(0, total - 1, min(count, total)).long().tolist())

    def rows(self, numbers: Sequence[int]) -> list[int]:
        """Which rows of the next batch to take; where a number is missing, since it cannot be read, the next one."""
        chosen = []
        for row, number in enumerate(numbers):
            if self._due and number >= self._due[0]:
                self._due.popleft()
                chosen.append(row)
        return chosen
