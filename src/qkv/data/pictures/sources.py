"""Pictures with labels or without: a folder, a table, the files of the MNIST family; without them also shards."""

import gzip
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from qkv.config import nearest
from qkv.data.lines import read_lines
from qkv.data.pictures.decode import Picture, files_inside, is_picture, open_picture, pictures_inside
from qkv.data.pictures.shards import Places, Shards, first_place
from qkv.data.table import Where, choose_rows, read_table, told_names
from qkv.errors import QkvError
from qkv.reporter import Reporter

_TABLES = (".csv", ".parquet")
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
_MOST_CLASSES = 1_000_000


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
        """The source that a path means.

        Raises:
            QkvError: it is neither a folder, nor a table, nor an IDX file, nor a shard.
        """
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

    @property
    def paths(self) -> list[Path]:
        """All that it names."""
        return [self.path, *([Path(self.labels)] if self.labels else [])]


class Pictures:
    """The pictures of one source.

    Attributes:
        labels: the number of each picture's class.
        classes: the names of the classes.
        read: a picture as it is stored; safe in threads.
        name: a picture's file, or its place in one.
        numbered: whether the classes are mere numbers, which no file or folder names.
        passed_over: files beside the pictures that are none, by their names.
        files: shards that hold the pictures.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        classes: tuple[str, ...],
        read: Callable[[int], Picture],
        name: Callable[[int], str],
        numbered: bool = False,
        passed_over: Sequence[Path] = (),
        files: Sequence[Path] = (),
    ) -> None:
        self.labels, self.classes = labels, classes
        self.read, self.name = read, name
        self.numbered, self.passed_over, self.files = numbered, passed_over, files

    @classmethod
    def open(
        cls,
        source: PictureSource,
        cache: Path | None = None,
        labelled: bool = True,
        reporter: Reporter | None = None,
    ) -> "Pictures":
        """Find the pictures of a source; those of a folder or named in a table are not opened yet.

        Args:
            source: where they are.
            cache: where large tables and the index of shards are kept in a form that is quick to read; not kept if not
                given.
            labelled: whether their classes matter; if not, none need be there, and all are of one class.
            reporter: is told of the work, if there is one.

        Raises:
            QkvError: the source is missing, empty, damaged or contradicts itself.
        """
        if source.folder is not None:
            return _of_folder(Path(source.folder)) if labelled else _of_any_folder(Path(source.folder))
        if source.table is not None:
            return _of_table(source, cache, labelled)
        if source.images is not None:
            return _of_idx(source, labelled)
        if labelled:
            raise QkvError(f"{source.path}: shards tell no classes here: give a folder of class folders or a table")
        return cls.of_shards(_shards(source.shards or [], cache, reporter or Reporter()))

    @classmethod
    def of_shards(cls, shards: Shards) -> "Pictures":
        """The pictures of shards; a sample that has none is one that cannot be read."""
        return cls(*_unlabelled(len(shards)), shards.picture, shards.name, files=shards.files)

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channels: int, enough: int | None = None) -> Image.Image:
        """One picture, grey (1) or in colour (3); `enough` as `open_picture` takes it.

        Raises:
            QkvError: it cannot be read; the message names it.
        """
        content = self.read(index)
        try:
            return open_picture(content, channels, enough)
        except QkvError as error:
            if isinstance(content, str | Path):
                raise
            raise QkvError(str(error).replace("the picture", self.name(index), 1)) from error


def keep_apart(folders: Iterable[str | None], cache: Path) -> None:
    """Refuse to begin a run among the pictures that it trains on, where its own would be found the next time.

    Args:
        folders: of the sources; None for what is in files.
        cache: a folder in the run; it goes on if that is there.

    Raises:
        QkvError: the run would be inside one of the folders.
    """
    for folder in folders:
        if folder is not None and not cache.exists() and cache.resolve().is_relative_to(Path(folder).resolve()):
            raise QkvError(f"{cache.parent} would lie among the pictures of {folder}: choose another --out")


def _of_folder(folder: Path) -> Pictures:
    if not folder.is_dir():
        raise QkvError(f"{folder} is no folder: check the path")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise QkvError(f"{folder} has no class folders: put the pictures of each class into a folder of its own")
    if {path.name.lower() for path in classes} <= _SPLITS:
        parts = " and ".join(str(path) for path in classes)
        raise QkvError(f"{folder} is divided already: train on one of {parts}, and name another as validation")
    files: list[str] = []
    labels: list[int] = []
    passed_over = [file for file in sorted(folder.iterdir()) if is_picture(file)]  # beside the folders, of no class
    for number, class_ in enumerate(classes):
        there = files_inside(class_)
        inside = [str(file) for file in there if is_picture(file)]
        if not inside:
            others = f" (not even {there[0].name}, by its name)" if there else ""
            raise QkvError(f"{class_} holds no pictures{others}: add some, or remove the folder")
        files += inside
        labels += [number] * len(inside)
        passed_over += [file for file in there if not is_picture(file)]
    names = tuple(class_.name for class_ in classes)
    return Pictures(np.array(labels), names, files.__getitem__, files.__getitem__, passed_over=passed_over)


def _of_any_folder(folder: Path) -> Pictures:
    if not folder.is_dir():
        raise QkvError(f"{folder} is no folder: check the path")
    files = [str(file) for file in pictures_inside(folder)]
    return Pictures(*_unlabelled(len(files)), files.__getitem__, files.__getitem__)


def _shards(places: Places, cache: Path | None, reporter: Reporter) -> Shards:
    if cache is not None:
        return Shards.open(places, cache, reporter)
    with tempfile.TemporaryDirectory() as folder:  # a deleted index goes on for as long as it is mapped
        return Shards.open(places, Path(folder), reporter)


def _unlabelled(count: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels and classes of pictures that have none."""
    return np.zeros(count, np.int64), ("pictures",)


def _of_table(source: PictureSource, cache: Path | None, labelled: bool) -> Pictures:
    path, image = Path(source.table or ""), source.image_column
    label, where = source.label_column, source.where or {}
    columns = read_table(path, [image, *([label] if labelled else []), *where], cache)
    images = columns[image]
    rows = choose_rows(path, len(images), lambda column: columns[column].to_pylist(), where)
    if labelled:
        told = told_names(path, label)
        named = _class_names(source) or (tuple(told) if told else None)
        labels, classes = _label_numbers(columns[label].take(rows).to_pylist(), named, path, rows)
        numbered = named is None and _are_numbers(classes)
    else:
        (labels, classes), numbered = _unlabelled(len(rows)), False

    def name(index: int) -> str:
        return f"{path}, row {rows[index] + 1}"

    if pa.types.is_string(images.type) or pa.types.is_large_string(images.type):
        paths = images.to_pylist()
        files = [str(path.parent / paths[row]) if paths[row] else "" for row in rows]

        def read_file(index: int) -> Picture:
            return files[index] or _missing(name(index))

        return Pictures(labels, classes, read_file, lambda i: files[i] or name(i), numbered)
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type) or _is_encoded(images.type)):
        raise QkvError(
            f"{path}: column {source.image_column!r} holds {images.type}, neither paths nor encoded pictures"
        )

    def read(index: int) -> Picture:
        cell = images[rows[index]].as_py()
        if isinstance(cell, dict):
            cell = cell["bytes"] or (path.parent / cell["path"] if cell.get("path") else None)
        return cell or _missing(name(index))

    return Pictures(labels, classes, read, name, numbered)


def _are_numbers(classes: tuple[str, ...]) -> bool:
    return classes == tuple(map(str, range(len(classes))))


def _is_encoded(kind: pa.DataType) -> bool:
    """Whether cells are pairs of `bytes` and `path`, as the `datasets` library stores pictures."""
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _missing(name: str) -> NoReturn:
    raise QkvError(f"{name} has no picture: complete it, or take it out")


def _class_names(source: PictureSource) -> tuple[str, ...] | None:
    if source.classes is None:
        return None
    named = source.classes
    classes = [line.strip() for line in read_lines(Path(named)) if line.strip()] if isinstance(named, str) else named
    where = named if isinstance(named, str) else f"classes of {source.path}"
    if not classes:
        raise QkvError(f"{where}: there is no class; name at least one")
    name, count = Counter(classes).most_common(1)[0]
    if count > 1:
        raise QkvError(f"{where}: {name!r} is there {count} times; each class has one name")
    return tuple(classes)


def _label_numbers(
    values: list[Any], classes: tuple[str, ...] | None, path: Path, rows: Sequence[int]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as numbers, and the names of the classes; `rows` are where the values stand, for messages."""
    for row, value in zip(rows, values, strict=True):
        if value is None or value == "":
            raise QkvError(f"{path}, row {row + 1} has no label: complete it, or take it out")
    if numbers := _as_numbers(values, classes):
        return _checked_numbers(numbers, classes, path, rows)
    names = [str(value) for value in values]
    classes = classes or tuple(sorted(set(names)))
    number = {name: i for i, name in enumerate(classes)}
    for row, name in zip(rows, names, strict=True):
        if name not in number:
            raise QkvError(f"{path}, row {row + 1}: no class {name!r}; {nearest(name, classes)}")
    return np.array([number[name] for name in names]), classes


def _as_numbers(values: Sequence[Any], classes: tuple[str, ...] | None) -> list[int] | None:
    """Labels that are numbers, or text that spells them, unless they are the very names of the classes."""
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return list(values)
    if not all(isinstance(value, str) and value.isdecimal() and len(value) < 10 for value in values):
        return None
    spelled = all(str(int(value)) == value for value in set(values))
    return list(map(int, values)) if spelled and not set(values) <= set(classes or ()) else None


def _checked_numbers(
    numbers: list[int], classes: tuple[str, ...] | None, path: Path, rows: Sequence[int]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    most = len(classes) if classes else _MOST_CLASSES
    for row, number in zip(rows, numbers, strict=True):
        if not 0 <= number < most:
            raise QkvError(
                f"{path}, row {row + 1}: label {number}, but {most:,} classes are numbered from 0 to {most - 1:,}"
            )
    return np.array(numbers, np.int64), classes or tuple(map(str, range(max(numbers) + 1)))


def _of_idx(source: PictureSource, labelled: bool) -> Pictures:
    path = Path(source.images or "")
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    pixels = _read_idx(path)
    if not labelled and pixels.ndim == 3 and 0 not in pixels.shape:
        return Pictures(*_unlabelled(len(pixels)), pixels.__getitem__, lambda i: f"{path}, picture {i + 1}")
    numbers = _read_idx(Path(source.labels) if source.labels else beside)
    if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers) or 0 in pixels.shape:
        raise QkvError(f"{path} holds {pixels.shape} and its labels {numbers.shape} numbers: not pictures with labels")
    labels, classes = _label_numbers(numbers.tolist(), named := _class_names(source), path, range(len(numbers)))
    return Pictures(labels, classes, pixels.__getitem__, lambda i: f"{path}, picture {i + 1}", named is None)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise QkvError(f"{path} does not exist: check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        raise QkvError(f"{path} is damaged or cannot be read ({error}): fetch it again") from None
    # Two zero bytes, the type (8 is unsigned byte), the number of dimensions, then each as a big-endian integer.
    dimensions = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    dimensions = dimensions if len(content) >= 4 + 4 * dimensions else 0
    shape = tuple(np.frombuffer(content[: 4 + 4 * dimensions], ">u4", offset=4)) if dimensions else ()
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions) if dimensions else np.empty(0, np.uint8)
    if not dimensions or len(values) != int(np.prod(shape, dtype=np.int64)):
        raise QkvError(f"{path} is no whole IDX file of bytes: fetch it again")
    return values.reshape(tuple(map(int, shape)))
