"""Where pictures are, with labels or without, and what every source of them offers, whatever its files."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qkv.data.cache import digest, file_state
from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.labels import Labels
from qkv.data.pictures.listing import PictureList
from qkv.data.pictures.shards import Places, first_place
from qkv.data.repeats import hash_content
from qkv.data.table import Where
from qkv.errors import QkvError

_TABLES = (".csv", ".parquet")

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PictureSource:
    """Where pictures are, with labels if these matter: a folder, a table, a file of pictures, or shards.

    Attributes:
        folder: holds a folder of pictures for each class, named after it; where classes do not matter, pictures.
        table: a .csv file, or a .parquet file, which may hold the pictures themselves; otherwise the paths in it count
            from its folder.
        images: pictures in the IDX format of MNIST, .gz or not.
        labels: their labels; found by its name beside `images` if not given.
        image_column: the table's column of paths or pictures.
        label_column: the table's column of class names or numbers.
        where: column to value, or to several: only rows of a table that have it, or one of them, are taken.
        classes: names for numbered labels, or a text file with one a line; the numbers if not given.
        shards: .tar files, uncompressed (WebDataset): a file, a folder of them, a pattern such as `train-*.tar`, or a
            list of these. Their pictures have no labels.
    """

    folder: str | None = None
    table: str | None = None
    images: str | None = None
    labels: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    where: Where | None = None
    classes: list[str] | str | None = None
    shards: Places | None = field(default=None, repr=False)  # runs know their data by the repr of older sources

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.folder, self.table, self.images, self.shards)) != 1:
            raise ValueError("pictures come from either a folder, a table, images or shards")
        if self.table is not None and Path(self.table).suffix.lower() not in _TABLES:
            raise ValueError(f"table {self.table} must be a file that ends in {' or '.join(_TABLES)}")
        if self.where is not None and self.table is None:
            raise ValueError("where chooses rows of a table")
        if self.labels is not None and self.images is None:
            raise ValueError("labels belong to images")
        if self.classes is not None and self.shards is not None:
            raise ValueError("classes name labels, which shards have none of")
        if self.classes is not None and self.folder is not None:
            raise ValueError("the classes of a folder are named by the folders in it")

    @classmethod
    def of(cls, path: Path) -> "PictureSource":
        """The source that a path means: a folder, a table, an IDX file or a shard."""
        if path.is_dir():
            return cls(folder=str(path))
        if path.suffix.lower() in _TABLES:
            return cls(table=str(path))
        if "idx3" in path.name:
            return cls(images=str(path))
        if path.suffix.lower() == ".tar":
            return cls(shards=str(path))
        raise QkvError(f"{path} holds no pictures that can be used here: give a folder (of class folders, for a "
                       "classifier), a .csv or .parquet table, IDX pictures (…idx3-ubyte.gz) or, where classes do not "
                       "matter, a .tar of WebDataset")  # fmt: skip

    @property
    def path(self) -> Path:
        """Its folder or first file."""
        return Path(self.folder or self.table or self.images or first_place(self.shards or ""))


@dataclass(frozen=True)
class Pictures(PictureList):
    """The pictures of one source, as they are stored."""

    path: Path  # of the source, for messages
    read: Callable[[int], Picture]  # not decoded; safe in threads and in forked processes
    name: Callable[[int], str]  # its file, or its place in one
    files: Sequence[str]  # all that are read
    told: Labels
    notes: Sequence[str] = ()  # what is odd about the source as a whole, a line each

    @property
    def labels(self) -> NDArray[np.int64]:
        """The number of each picture's class."""
        return self.told.numbers

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.told.classes

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channels: int, enough: int | None = None) -> Image.Image:
        """One picture; `channels` and `enough` as `open_picture` takes them."""
        content = self.read(index)
        try:
            return open_picture(content, channels, enough)
        except QkvError as error:
            if isinstance(content, str | Path):
                raise
            raise QkvError(str(error).replace("the picture", self.name(index), 1)) from error

    def check(self, index: int) -> int:
        """A hash of what a picture is stored as; QkvError if it cannot be read."""
        content = self.read(index)
        if not isinstance(content, np.ndarray):  # which cannot be wrong
            self.picture(index, 3, enough=1)  # a small copy of a JPEG is made of all its data
        return hash_content(np.asarray(content) if isinstance(content, Image.Image) else content)

    @cached_property
    def state(self) -> str:
        """A digest of the state of its files, taken when first asked for."""
        return digest(*([file, file_state(Path(file))] for file in self.files))


@dataclass(frozen=True)
class PictureSet(PictureList):
    """Pictures of several sources, in an order of their own."""

    sources: Sequence[Pictures]
    places: NDArray[np.int64]  # [N, 2]: the source of each, and its number there
    labels: NDArray[np.int64]  # the class of each; -1 if it has none

    @classmethod
    def joined(cls, sources: Sequence[Pictures], rows: Sequence[Indices], classes: Sequence[str] = ()) -> "PictureSet":
        """These pictures of each source, one source after the other, with classes by their names."""
        places, labels = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
        known = {name: number for number, name in enumerate(classes)}
        for number, (own, chosen) in enumerate(zip(sources, rows)):
            places.append(np.stack([np.full(len(chosen), number), chosen], axis=1))
            # A class that is named in validation but has no picture there need not be trained on.
            labels.append(np.array([known.get(name, -1) for name in own.classes])[own.labels[chosen]])
        return cls(sources, np.concatenate(places), np.concatenate(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channels: int, enough: int) -> Image.Image:
        """A picture; `channels` and `enough` as `open_picture` takes them."""
        source, number = self.places[index].tolist()
        return self.sources[source].picture(number, channels, enough)

    def name(self, index: int) -> str:
        """A picture's file, or its place in one."""
        source, number = self.places[index].tolist()
        return self.sources[source].name(number)

    def select(self, chosen: NDArray[np.bool_] | Indices) -> "PictureSet":
        """A part of the pictures, by a mask or by their numbers."""
        return PictureSet(self.sources, self.places[chosen], self.labels[chosen])


def keep_apart(folders: Iterable[str | None], cache: Path) -> None:
    """Refuse to begin a run, which has no `cache` yet, among its pictures, where it would find its own next time."""
    for folder in folders:
        if folder is not None and not cache.exists() and cache.resolve().is_relative_to(Path(folder).resolve()):
            raise QkvError(f"{cache.parent} would lie among the pictures of {folder}: choose another --out")
