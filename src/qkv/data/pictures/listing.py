"""Pictures in order, read when they are needed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from qkv.data.pictures.preprocessing import Preprocessing, to_pixels
from qkv.errors import QkvError

_READERS = 4  # threads; decoding releases Python's lock


_AT_ONCE = 64


@dataclass(frozen=True)
class PictureBatch:
    """Some pictures of a list.

    Attributes:
        numbers: in the list, of those that can be read.
        pixels: of these.
        unreadable: one line for each of the others.
    """

    numbers: list[int]
    pixels: UInt8[Tensor, "B C H W"]
    unreadable: list[str]


@dataclass(frozen=True)
class PictureList:
    """Pictures that are read when they are needed.

    Attributes:
        read: a picture by its number, the channels and `enough`, as `open_picture` takes them; safe in threads.
        numbers: what `read` knows the pictures by.
    """

    read: Callable[[int, int, int], Image.Image]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def pixels(self, index: int, preprocessing: Preprocessing) -> UInt8[Tensor, "C H W"]:
        """A picture at the size of a model, in bytes.

        Raises:
            QkvError: it cannot be read; the message names it.
        """
        image = self.read(self.numbers[index], preprocessing.channels, preprocessing.shorter_side)
        return to_pixels(preprocessing.fit(image))

    def batches(self, preprocessing: Preprocessing) -> Iterator[PictureBatch]:
        """All pictures in order, at the size of a model."""

        def read(index: int) -> Tensor | QkvError:
            try:
                return self.pixels(index, preprocessing)
            except QkvError as error:
                return error

        none = torch.empty(0, preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(self), _AT_ONCE):
                found = list(enumerate(pool.map(read, range(start, min(start + _AT_ONCE, len(self)))), start))
                good = {index: pixels for index, pixels in found if isinstance(pixels, Tensor)}
                pixels = torch.stack(list(good.values())) if good else none
                unreadable = [str(error) for _, error in found if isinstance(error, QkvError)]
                yield PictureBatch(list(good), pixels, unreadable)


class EvenSample:
    """Chooses some of many pictures that come by in order, evenly, whether each of them can be read or not.

    Args:
        total: how many there are.
        count: how many to choose, or all if there are fewer.
    """

    def __init__(self, total: int, count: int) -> None:
        self._due = deque(torch.linspace(0, total - 1, min(count, total)).long().tolist())

    def rows(self, numbers: Sequence[int]) -> list[int]:
        """Which rows of the next batch to take.

        Args:
            numbers: of its pictures, ascending; one that cannot be read is not there, and the next stands in for it.
        """
        chosen = []
        for row, number in enumerate(numbers):
            if self._due and number >= self._due[0]:
                self._due.popleft()
                chosen.append(row)
        return chosen
