"""What a model of pictures is measured on: real pictures, their captions, and the pictures that it was trained on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from torch import Tensor

from qkv.data.caption_corpus import CaptionCorpus
from qkv.data.caption_readers import open_source
from qkv.data.caption_sources import CaptionedPictures, CaptionSource
from qkv.data.captions import CaptionDataConfig
from qkv.data.image_data import ImageDataConfig
from qkv.data.picture_split import PictureSet, PictureSplit
from qkv.data.pictures import Pictures, PictureSource
from qkv.data.preprocessing import Preprocessing, to_pixels
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


@dataclass(frozen=True)
class Prompt:
    """A caption to draw.

    Attributes:
        text: the caption.
        label: the class that it was made of; None if its picture has no class.
        picture: the number, in the list, of the first picture that it is the caption of.
    """

    text: str
    label: str | None
    picture: int


@dataclass(frozen=True)
class EvaluationData:
    """Pictures to measure a model on.

    Attributes:
        pictures: the pictures.
        train: what the model was trained on, as far as that is known.
        prompts: the captions of the pictures, each once.
        left_out: one line for each picture that is left out.
    """

    pictures: PictureList
    train: PictureList | None = None
    prompts: tuple[Prompt, ...] = ()
    left_out: tuple[str, ...] = ()


def open_pictures(path: Path, cache: Path, console: Console) -> EvaluationData:
    """All pictures of a folder, a table, an IDX file or a shard.

    Args:
        path: where they are.
        cache: where the index of shards and large tables are kept.
        console: where progress is shown.

    Raises:
        QkvError: there are none, or the file is damaged.
    """
    if path.suffix.lower() == ".jsonl":
        pictures = open_source(CaptionSource.of(path), cache, console).pictures
    else:
        pictures = Pictures.open(PictureSource.of(path), cache, labelled=False, console=console)
    return EvaluationData(_all(pictures))


def open_captioned_pictures(path: Path, cache: Path, console: Console) -> EvaluationData:
    """All pictures of a folder, a table or a shard, with their captions.

    Args:
        path: where they are, as `CaptionSource.of` takes it.
        cache: where the index of shards and large tables are kept.
        console: where progress is shown.

    Raises:
        QkvError: there are none, none has a caption, or the file is damaged.
    """
    found = open_source(CaptionSource.of(path), cache, console)
    prompts, left_out = _prompts((found, number) for number in range(len(found)))
    if not prompts:
        raise QkvError(f"{path}: no picture has a caption{f'; the first: {left_out[0]}' if left_out else ''}")
    return EvaluationData(_all(found.pictures), prompts=prompts, left_out=left_out)


def split_pictures(config: ImageDataConfig, cache: Path, seed: int, console: Console) -> EvaluationData:
    """The validation pictures of a recipe's `data`, whatever their classes, and its training pictures.

    Args:
        config: where they are, and which are held out.
        cache: a folder for what is found out about them.
        seed: of the choice.
        console: where progress is shown.

    Raises:
        QkvError: a source cannot be used, or there are too few pictures.
    """
    parts = config.train, config.validation, config.holdout
    split = PictureSplit.open(*parts, cache, seed, console, labelled=False)
    train, validation = (_all(part) for part in (split.train, split.validation))
    return EvaluationData(validation, train, left_out=(*split.unreadable, *split.notes))


def split_captioned_pictures(config: CaptionDataConfig, cache: Path, seed: int, console: Console) -> EvaluationData:
    """The validation pictures of a recipe's `data` with their captions, and its training pictures.

    Args:
        config: where they are, and which are held out.
        cache: a folder for what is found out about them.
        seed: of the choice.
        console: where progress is shown.

    Raises:
        QkvError: a source cannot be used, or there are too few pictures.
    """
    corpus = CaptionCorpus.open(config.train, config.validation, config.holdout, cache, seed, console)
    train, validation = (PictureList(corpus.picture, part.tolist()) for part in (corpus.train, corpus.validation))
    places = map(corpus.place, validation.numbers)
    prompts, left_out = _prompts((corpus.sources[source], number) for source, number in places)
    return EvaluationData(validation, train, prompts, (*corpus.left_out, *left_out))


def _all(pictures: Pictures | PictureSet) -> PictureList:
    return PictureList(pictures.picture, range(len(pictures)))


def _prompts(places: Iterable[tuple[CaptionedPictures, int]]) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """The captions of pictures, in order, and what is wrong with those that have none."""
    found: dict[tuple[str, str | None], Prompt] = {}
    left_out: list[str] = []
    for picture, (source, number) in enumerate(places):
        try:
            texts = source.texts(number)
        except QkvError as error:
            left_out.append(str(error))
            continue
        labelled = source.source.labelled is not None
        label = source.pictures.classes[source.pictures.labels[number]] if labelled else None
        for text in filter(None, (text for _, text in texts)):
            found.setdefault((text, label), Prompt(text, label, picture))
    return tuple(found.values()), tuple(left_out)
