"""Labelled pictures, ready for training: checked, some of them held out, augmented and cut into batches."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot

from qkv.data.pictures.augmentation import AugmentationConfig, augment, mix
from qkv.data.pictures.preprocessing import Preprocessing, to_images, to_pixels
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.split import PictureSet, PictureSplit
from qkv.data.randomness import derive_seed, permute
from qkv.errors import QkvError
from qkv.reporter import Reporter, Table

_log = logging.getLogger(__name__)
_READERS = 4  # threads; decoding releases Python's lock
_NAMED = 5
_MOST_ROWS = 40  # of the report
_SUBSTITUTES = 100


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


class ImageData:
    """Pictures to train and to validate on, as batches. Every batch is a pure function of (seed, epoch, index).

    Attributes:
        classes: names of the classes, in the order of the targets.
        unreadable: one line for each picture that cannot be read, and is left out.
        notes: one line for each source with pictures or other files that are left out although they can be read.
    """

    def __init__(self, config: ImageDataConfig, preprocessing: Preprocessing, split: PictureSplit, seed: int) -> None:
        self.classes, self.unreadable, self.notes = split.classes, tuple(split.unreadable), tuple(split.notes)
        self._config, self._preprocessing, self._seed = config, preprocessing, seed
        self._train, self._validation = split.train, split.validation
        self._warned = False
        if config.augmentation.pad >= preprocessing.size:
            raise QkvError(
                f"augmentation.pad is {config.augmentation.pad}, which shifts pictures of {preprocessing.size} pixels "
                "out of sight: lower it"
            )

    @classmethod
    def open(
        cls,
        config: ImageDataConfig,
        preprocessing: Preprocessing,
        cache: Path,
        seed: int,
        reporter: Reporter,
        labelled: bool = True,
    ) -> "ImageData":
        """Find the pictures and check that each can be read, unless `cache` says so from an earlier time.

        Args:
            config: where the pictures are.
            preprocessing: size and scale.
            cache: a folder for what is found out about them, and for what the run began with.
            seed: of held-out pictures, order and augmentation.
            reporter: is told of the work.
            labelled: whether their classes matter; if not, a folder may hold pictures as it likes.

        Raises:
            QkvError: a source is missing, empty, damaged or has other classes than the rest or than the run began
                with, or there are too few pictures.
        """
        split = PictureSplit.open(config.train, config.validation, config.holdout, cache, seed, reporter, labelled)
        return cls(config, preprocessing, split, seed)

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
    def report(self) -> Table:
        """Pictures of each class, and what is left out."""
        train, validation = (
            np.bincount(part.labels, minlength=len(self.classes)) for part in (self._train, self._validation)
        )
        rarest = np.sort(np.argsort(train, kind="stable")[:_MOST_ROWS])
        rows = [(self.classes[row], f"{train[row]:,}", f"{validation[row]:,}") for row in rarest.tolist()]
        notes = []
        if len(self.classes) > _MOST_ROWS:
            notes.append(f"the {_MOST_ROWS} classes with the fewest pictures, of {len(self.classes):,}")
        notes += [f"left out, {len(self.unreadable):,} in all: {line}" for line in self.unreadable[:_NAMED]]
        notes += self.notes
        title = f"{self.n_train + self.n_validation:,} pictures"
        return Table(("class", "train", "validation"), rows, title, notes)

    def samples(self) -> tuple[list[Image.Image], list[str]]:
        """Some training pictures, augmented, as the model is shown them, and the class of each."""
        rows = permute(np.arange(min(64, self.n_train)), self.n_train, derive_seed(self._seed, "order", 0)).tolist()
        pixels, labels = zip(*(self._augmented(row, derive_seed(self._seed, 0, row)) for row in rows), strict=True)
        return to_images(torch.stack(pixels) / 255), [self.classes[label] for label in labels]

    def _augmented(self, row: int, seed: int) -> tuple[Tensor, int]:
        enough = self._config.augmentation.shorter_side(self._preprocessing)
        image, label = self._picture(self._train, row, enough)
        return augment(image, self._config.augmentation, self._preprocessing, seed), label

    def _plain(self, row: int) -> tuple[Tensor, int]:
        image, label = self._picture(self._validation, row, self._preprocessing.shorter_side)
        return to_pixels(self._preprocessing.fit(image)), label

    def _picture(self, part: PictureSet, row: int, enough: int) -> tuple[Image.Image, int]:
        """A picture and its class; the next one in the place of one that could be read once and cannot be any more."""
        fault = ""
        for substitute in range(row, row + min(_SUBSTITUTES, len(part))):
            index = substitute % len(part)
            try:
                return part.picture(index, self._preprocessing.channels, enough), int(part.labels[index])
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
