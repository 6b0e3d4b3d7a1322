"""Labelled pictures, ready for training: checked, some of them held out, augmented and cut into batches."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.nn.functional import one_hot

from qkv.config import nearest
from qkv.data.augmentation import AugmentationConfig, augment, mix
from qkv.data.permutation import derive_seed, permute
from qkv.data.pictures import Pictures, PictureSource
from qkv.data.preprocessing import Preprocessing, to_pixels
from qkv.data.samples import draw_samples
from qkv.errors import QkvError
from qkv.files import atomic_file

_log = logging.getLogger(__name__)
_READERS = 4  # threads; decoding releases Python's lock
_NAMED = 5
_SAMPLE = 200
_MOST_HELD_OUT = 5000
_CHECKED_AT_ONCE = 64
_MOST_ROWS = 40  # of the report
_SUBSTITUTES = 100

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ImageDataConfig:
    """What a classifier is trained and validated on.

    Attributes:
        train: sources of training pictures.
        validation: sources of validation pictures; if there are none, some of each class are held out of training.
        holdout: share held out if there is no validation, of each class the same, and at most 5,000 pictures; but one
            at least of each class that has two.
        batch_size: pictures in a batch.
        augmentation: random changes to training pictures.
    """

    train: list[PictureSource]
    validation: list[PictureSource] = field(default_factory=list)
    holdout: float = 0.1
    batch_size: int = 128
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train names no source")
        if not 0 < self.holdout < 1:
            raise ValueError(f"holdout must be above 0 and below 1, not {self.holdout}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")


@dataclass(frozen=True)
class ImageBatch:
    """Pictures as the model reads them, and how much of each class they are; every row of targets sums to 1."""

    images: Float[Tensor, "B C H W"]
    targets: Float[Tensor, "B K"]

    def to(self, device: torch.device) -> "ImageBatch":
        """The batch on a device."""
        return ImageBatch(self.images.to(device), self.targets.to(device))


@dataclass(frozen=True)
class _Part:
    """Readable pictures of several sources, under numbers from 0 on.

    Attributes:
        sources: where they are.
        places: source, and number in it, of each picture.
        labels: class of each picture.
    """

    sources: Sequence[Pictures]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channels: int) -> Image.Image:
        source, number = self.places[index].tolist()
        return self.sources[source].picture(number, channels)

    def select(self, indices: Indices) -> "_Part":
        return _Part(self.sources, self.places[indices], self.labels[indices])


class ImageData:
    """Pictures to train and to validate on, as batches. Every batch is a pure function of (seed, epoch, index).

    Attributes:
        classes: names of the classes, in the order of the targets.
        unreadable: one line for each picture that is left out.
    """

    def __init__(
        self,
        config: ImageDataConfig,
        preprocessing: Preprocessing,
        classes: tuple[str, ...],
        train: _Part,
        validation: _Part | None,
        unreadable: Sequence[str],
        seed: int,
    ) -> None:
        self.classes, self.unreadable = classes, tuple(unreadable)
        self._config, self._preprocessing, self._seed = config, preprocessing, seed
        if validation is None:
            train, validation = _hold_out(train, config.holdout, seed)
        if not len(train) or not len(validation):
            raise QkvError(
                f"{config.train[0].path}: too few pictures to hold any out for validation; add pictures, or name "
                "validation sources"
            )
        self._train, self._validation = train, validation
        self._warned = False
        if config.augmentation.pad >= preprocessing.size:
            raise QkvError(
                f"augmentation.pad is {config.augmentation.pad}, which shifts pictures of {preprocessing.size} pixels "
                "out of sight: lower it"
            )

    @classmethod
    def open(
        cls, config: ImageDataConfig, preprocessing: Preprocessing, cache: Path, seed: int, console: Console
    ) -> "ImageData":
        """Find the pictures and check that each can be read, unless `cache` says so from an earlier time.

        Args:
            config: where the pictures are.
            preprocessing: size and scale.
            cache: a folder for what is found out about them.
            seed: of held-out pictures, order and augmentation.
            console: where progress is shown.

        Raises:
            QkvError: a source is missing, empty, damaged or has other classes than the rest.
        """
        train, validation = (
            [Pictures.open(source, cache) for source in part] for part in (config.train, config.validation)
        )
        classes = _common_classes(train, validation, config)
        unreadable: list[str] = []
        parts = [
            _part(sources, configs, classes, cache, unreadable, console)
            for sources, configs in ((train, config.train), (validation, config.validation))
        ]
        return cls(config, preprocessing, classes, parts[0], parts[1] if validation else None, unreadable, seed)

    @property
    def n_train(self) -> int:
        """Training pictures."""
        return len(self._train)

    @property
    def n_validation(self) -> int:
        """Validation pictures."""
        return len(self._validation)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return -(-self.n_train // self._config.batch_size)

    def batch(self, epoch: int, index: int) -> ImageBatch:
        """A training batch, augmentation included."""
        start = index * self._config.batch_size
        positions = np.arange(start, min(start + self._config.batch_size, self.n_train))
        rows = permute(positions, self.n_train, derive_seed(self._seed, "order", epoch)).tolist()
        pixels, labels = zip(*(self._augmented(row, derive_seed(self._seed, epoch, row)) for row in rows), strict=True)
        images = self._preprocessing.normalise(torch.stack(pixels))
        seed = derive_seed(self._seed, "mix", epoch, index)
        return ImageBatch(*mix(images, self._targets(labels), self._config.augmentation, seed))

    def validation_batches(self) -> Iterator[ImageBatch]:
        """All validation pictures as they are, the same batches each time."""
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, self.n_validation, self._config.batch_size):
                rows = range(start, min(start + self._config.batch_size, self.n_validation))
                pixels, labels = zip(*pool.map(self._plain, rows), strict=True)
                yield ImageBatch(self._preprocessing.normalise(torch.stack(pixels)), self._targets(labels))

    @property
    def report(self) -> RenderableType:
        """Pictures of each class, and what is left out."""
        train, validation = (
            np.bincount(part.labels, minlength=len(self.classes)) for part in (self._train, self._validation)
        )
        table = Table("class", "train", "validation", title=f"{self.n_train + self.n_validation:,} pictures")
        rarest = np.sort(np.argsort(train, kind="stable")[:_MOST_ROWS])
        for row in rarest.tolist():
            table.add_row(Text(self.classes[row]), f"{train[row]:,}", f"{validation[row]:,}")
        notes = []
        if len(self.classes) > _MOST_ROWS:
            notes.append(f"the {_MOST_ROWS} classes with the fewest pictures, of {len(self.classes):,}")
        notes += [f"left out, {len(self.unreadable):,} in all: {line}" for line in self.unreadable[:_NAMED]]
        return Group(table, *map(Text, notes))

    def contact_sheet(self, path: Path) -> None:
        """Draw a sheet of augmented training pictures with their classes, as the model is shown them."""
        rows = permute(np.arange(min(64, self.n_train)), self.n_train, derive_seed(self._seed, "order", 0)).tolist()
        pixels, labels = zip(*(self._augmented(row, derive_seed(self._seed, 0, row)) for row in rows), strict=True)
        draw_samples(pixels, [self.classes[label] for label in labels], path)

    def _augmented(self, row: int, seed: int) -> tuple[Tensor, int]:
        image, label = self._picture(self._train, row)
        return augment(image, self._config.augmentation, self._preprocessing, seed), label

    def _plain(self, row: int) -> tuple[Tensor, int]:
        image, label = self._picture(self._validation, row)
        return to_pixels(self._preprocessing.fit(image)), label

    def _picture(self, part: _Part, row: int) -> tuple[Image.Image, int]:
        """A picture and its class; the next one in the place of one that could be read once and cannot be any more."""
        fault = ""
        for substitute in range(row, row + min(_SUBSTITUTES, len(part))):
            index = substitute % len(part)
            try:
                return part.picture(index, self._preprocessing.channels), int(part.labels[index])
            except QkvError as error:
                fault = str(error)
                if not self._warned:
                    _log.warning(
                        "a picture has become unreadable since training began; others take its place: %s", error
                    )
                    self._warned = True
        raise QkvError(f"pictures that could be read when training began cannot be any more; the last tried: {fault}")

    def _targets(self, labels: Sequence[int]) -> Float[Tensor, "B K"]:
        return one_hot(torch.tensor(labels), len(self.classes)).float()


@dataclass(frozen=True)
class Measure:
    """What a source is like: pictures, pixels of the shorter side of a typical one, and 1 channel if all are grey."""

    pictures: int
    side: int
    channels: int


def measure(source: PictureSource) -> Measure:
    """Look at a few hundred pictures of a source.

    Raises:
        QkvError: the source cannot be used, or none of these pictures can be read.
    """
    pictures = Pictures.open(source)
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
        raise QkvError(f"{source.path}: no picture can be read; the last tried: {fault}")
    return Measure(len(pictures), int(np.median(sides)), 1 if grey else 3)


def _common_classes(
    train: Sequence[Pictures], validation: Sequence[Pictures], config: ImageDataConfig
) -> tuple[str, ...]:
    """The classes of all training sources, in the order in which they come up."""
    numbered = [_is_numbered(pictures) for pictures in (*train, *validation)]
    if len(set(numbered)) > 1:
        sources = [*config.train, *config.validation]
        named, unnamed = sources[numbered.index(False)].path, sources[numbered.index(True)].path
        raise QkvError(f"{named} names its classes, but {unnamed} numbers them: give {unnamed} the names as classes")
    longest = max(train, key=lambda pictures: len(pictures.classes))
    names = [longest] if numbered[0] else train  # of numbers, the first may lack the highest
    classes = tuple(dict.fromkeys(name for pictures in names for name in pictures.classes))
    for pictures, source in zip(validation, config.validation, strict=True):
        for name in (pictures.classes[label] for label in np.unique(pictures.labels)):
            if name not in classes:
                raise QkvError(
                    f"{source.path} has a class {name!r}, which {config.train[0].path} lacks; {nearest(name, classes)}"
                )
    if classes == classes[:1]:
        raise QkvError(f"{config.train[0].path}: all pictures are of one class, {classes[0]!r}; add one of another")
    return classes


def _is_numbered(pictures: Pictures) -> bool:
    return pictures.classes == tuple(map(str, range(len(pictures.classes))))


def _part(
    pictures: Sequence[Pictures],
    sources: Sequence[PictureSource],
    classes: tuple[str, ...],
    cache: Path,
    unreadable: list[str],
    console: Console,
) -> _Part:
    places, labels = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    known = {name: number for number, name in enumerate(classes)}
    for number, (own, source) in enumerate(zip(pictures, sources, strict=True)):
        # Pictures of IDX files are in memory already.
        faults = {} if source.images is not None else _check(own, source, cache, console)
        unreadable += faults.values()
        good = np.setdiff1d(np.arange(len(own)), np.array(sorted(faults), np.int64))
        places.append(np.stack([np.full(len(good), number), good], axis=1))
        # A class that is named in validation but has no picture there need not be trained on.
        labels.append(np.array([known.get(name, -1) for name in own.classes])[own.labels[good]])
    return _Part(pictures, np.concatenate(places), np.concatenate(labels))


def _check(pictures: Pictures, source: PictureSource, cache: Path, console: Console) -> dict[int, str]:
    """What is wrong with which pictures. All are decoded, once for each state of the files."""
    key = [[name, _state(Path(name))] for name in map(pictures.name, range(len(pictures)))]
    digest = hashlib.sha256(json.dumps([str(source), _state(source.path), key]).encode()).hexdigest()[:16]
    file = cache / f"unreadable-{digest}.json"
    if file.exists():
        return {int(index): fault for index, fault in json.loads(file.read_text(encoding="utf-8")).items()}

    faults = _find_faults(pictures, f"checking {source.path.name}", console)
    try:
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(faults), encoding="utf-8")
    except OSError as error:
        raise QkvError(f"cannot write {file}: {error}; free some space or choose another place") from error
    return faults


def _find_faults(pictures: Pictures, what: str, console: Console) -> dict[int, str]:
    def faults_of(indices: range) -> dict[int, str]:
        found = {}
        for index in indices:
            try:
                pictures.picture(index, 3)
            except QkvError as error:
                found[index] = str(error)
        return found

    starts = range(0, len(pictures), _CHECKED_AT_ONCE)
    pieces = [range(start, min(start + _CHECKED_AT_ONCE, len(pictures))) for start in starts]
    faults: dict[int, str] = {}
    pool = ThreadPoolExecutor(_READERS)
    try:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(what, total=len(pictures))
            for piece, found in zip(pieces, pool.map(faults_of, pieces), strict=True):
                faults |= found
                bar.advance(task, len(piece))
    finally:
        pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for a million pictures
    return faults


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name with a NUL in it
        return []
    return [found.st_size, found.st_mtime_ns]


def _hold_out(part: _Part, share: float, seed: int) -> tuple[_Part, _Part]:
    """The same share of each class, rounded; a class of a single picture gives none."""
    share = min(share, _MOST_HELD_OUT / max(len(part), 1))
    chosen = [np.empty(0, np.int64)]
    for label in np.unique(part.labels).tolist():
        members = np.flatnonzero(part.labels == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        order = permute(np.arange(count), len(members), derive_seed(seed, "holdout", label))
        chosen.append(members[order])
    held_out = np.sort(np.concatenate(chosen))
    return part.select(np.setdiff1d(np.arange(len(part)), held_out)), part.select(held_out)
