"""Labelled pictures, ready for training: checked, some of them held out, augmented and cut into batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot

from qkv.config import check_range
from qkv.data.pictures.augmentation import AugmentationConfig, augment, mix
from qkv.data.pictures.preprocessing import Preprocessing, to_images
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.split import PictureSplit
from qkv.data.randomness import derive_seed, shuffled
from qkv.data.reading import ahead
from qkv.data.unreadable import Substitutes
from qkv.errors import QkvError
from qkv.reporter import Reporter, Table

_NAMED = 5
_MOST_ROWS = 40  # of the report
_SAMPLES = 64


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
        check_range(self, 1, 2**16, "batch_size")


@dataclass(frozen=True)
class ImageBatch:
    """Pictures as the model reads them, and how much of each class they are; every row of targets sums to 1."""

    images: Float[Tensor, "B C H W"]
    targets: Float[Tensor, "B K"]


class ImageData:
    """Pictures to train and to validate on, as batches. Every batch is a pure function of (seed, epoch, index)."""

    def __init__(self, config: ImageDataConfig, preprocessing: Preprocessing, split: PictureSplit, seed: int) -> None:
        self.classes, self.unreadable, self._notes = split.classes, tuple(split.unreadable), split.notes
        self._config, self._preprocessing, self._seed = config, preprocessing, seed
        self._train, self._validation = split.train, split.validation
        self._substitutes = Substitutes()
        if (pad := config.augmentation.pad) >= preprocessing.size:
            shifts = f"which shifts pictures of {preprocessing.size} pixels out of sight"
            raise QkvError(f"augmentation.pad is {pad}, {shifts}: lower it")

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
        """Find the pictures and check that each can be read, as `PictureSplit.open` does."""
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
        pixels, labels = self._augmented(epoch, index, self._config.batch_size)
        images, targets = self._preprocessing.normalise(pixels), self._targets(labels)
        seed = derive_seed(self._seed, "mix", epoch, index)
        return ImageBatch(*mix(images, targets, self._config.augmentation, seed))

    def validation_batches(self) -> Iterator[ImageBatch]:
        """All validation pictures as they are, the same batches each time."""
        pixels = partial(self._validation.pixels, preprocessing=self._preprocessing)
        read = partial(self._substitutes.read, pixels, size=self.n_validation)
        for batch in ahead(range(self.n_validation), read, self._config.batch_size):
            rows, contents = zip(*(found for _, found in batch), strict=True)
            labels = self._validation.labels[list(rows)].tolist()
            yield ImageBatch(self._preprocessing.normalise(torch.stack(contents)), self._targets(labels))

    @property
    def report(self) -> Table:
        """Pictures of each class, and what is left out."""
        parts = self._train, self._validation
        train, validation = (np.bincount(part.labels, minlength=len(self.classes)) for part in parts)
        rarest = np.sort(np.argsort(train, kind="stable")[:_MOST_ROWS])
        rows = [(self.classes[row], f"{train[row]:,}", f"{validation[row]:,}") for row in rarest.tolist()]
        notes = []
        if len(self.classes) > _MOST_ROWS:
            notes.append(f"the {_MOST_ROWS} classes with the fewest pictures, of {len(self.classes):,}")
        notes += [f"left out, {len(self.unreadable):,} in all: {line}" for line in self.unreadable[:_NAMED]]
        notes += self._notes
        return Table(("class", "train", "validation"), rows, f"{self.n_train + self.n_validation:,} pictures", notes)

    def samples(self) -> tuple[list[Image.Image], list[str]]:
        """Some training pictures, augmented, as the model is shown them, and the class of each."""
        pixels, labels = self._augmented(0, 0, _SAMPLES)
        return to_images(pixels / 255), [self.classes[label] for label in labels]

    def _augmented(self, epoch: int, index: int, batch_size: int) -> tuple[UInt8[Tensor, "B C H W"], list[int]]:
        """A batch of training pictures, augmented, and their classes."""
        config, preprocessing = self._config.augmentation, self._preprocessing
        enough = config.shorter_side(preprocessing)
        read = partial(self._train.picture, channels=preprocessing.channels, enough=enough)
        pixels, labels = [], []
        for row in shuffled(self.n_train, batch_size, self._seed, epoch, index).tolist():
            number, image = self._substitutes.read(read, row, self.n_train)
            pixels.append(augment(image, config, preprocessing, derive_seed(self._seed, epoch, row)))
            labels.append(int(self._train.labels[number]))
        return torch.stack(pixels), labels

    def _targets(self, labels: Sequence[int]) -> Float[Tensor, "B K"]:
        return one_hot(torch.tensor(labels), len(self.classes)).float()
