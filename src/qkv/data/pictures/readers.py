"""Sources of pictures, opened: folders, tables, the files of the MNIST family, shards."""

import gzip
import math
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.pictures.decode import files_inside, is_picture, pictures_inside
from qkv.data.pictures.labels import Labels, class_names
from qkv.data.pictures.shards import Shards
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.pictures.tables import Table
from qkv.data.table import told_names
from qkv.errors import QkvError
from qkv.files import regular
from qkv.reporter import Reporter

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
_NAMED = 3


def open_pictures(
    source: PictureSource, cache: Path | None = None, labelled: bool = True, reporter: Reporter | None = None
) -> Pictures:
    """Find the pictures of a source, all of one class unless `labelled`; `cache` keeps large tables and indexes."""
    if source.folder is not None:
        if not source.path.is_dir():
            raise QkvError(f"{source.path} is no folder: check the path")
        return (_of_class_folders if labelled else _of_folder)(source.path)
    if source.table is not None:
        return _of_table(source, Path(source.table), cache, labelled)
    if source.images is not None:
        return _of_idx(source, Path(source.images), labelled)
    if labelled:
        raise QkvError(f"{source.path}: shards tell no classes here: give a folder of class folders or a table")
    with tempfile.TemporaryDirectory() as folder:  # a deleted index goes on for as long as it is mapped
        return of_shards(source.path, Shards.open(source.shards or [], cache or Path(folder), reporter or Reporter()))


def of_shards(path: Path, shards: Shards) -> Pictures:
    """The pictures of shards; a sample that has none is one that cannot be read."""
    return Pictures(path, shards.picture, shards.name, [*map(str, shards.files)], Labels.none(len(shards)))


def of_rows(table: Table, rows: Sequence[int], labels: Labels) -> Pictures:
    """The pictures of some rows of a table; several may name the same file."""
    files = table.files or {}

    def name(index: int) -> str:
        return files.get(rows[index]) or table.name(rows[index])

    return Pictures(table.path, lambda i: table.picture(rows[i]), name, [str(table.path), *files.values()], labels)


def _of_class_folders(folder: Path) -> Pictures:
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
    names = ", ".join(map(str, passed_over[:_NAMED])) + (", …" if len(passed_over) > _NAMED else "")
    what = f"{len(passed_over):,} in all, no pictures by name or in no class folder: {names}"
    told = Labels(np.array(labels), tuple(class_.name for class_ in classes))
    notes = [f"{folder}: passed over, {what}"] if passed_over else []
    return Pictures(folder, files.__getitem__, files.__getitem__, files, told, notes)


def _of_folder(folder: Path) -> Pictures:
    files = [str(file) for file in pictures_inside(folder)]
    return Pictures(folder, files.__getitem__, files.__getitem__, files, Labels.none(len(files)))


def _of_table(source: PictureSource, path: Path, cache: Path | None, labelled: bool) -> Pictures:
    image, label = source.image_column, source.label_column
    table = Table.open(path, [image, label] if labelled else [image], image, source.where, cache)
    labels = Labels.none(len(table.rows))
    if labelled:
        names = class_names(source.classes, path) or told_names(path, label) or None
        labels = Labels.read(table.values(label), table.rows, names, path)
    return of_rows(table, table.rows, labels)


def _of_idx(source: PictureSource, path: Path, labelled: bool) -> Pictures:
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    files, pixels = [path], _read_idx(path)
    if labelled or pixels.ndim != 3 or 0 in pixels.shape:
        files.append(Path(source.labels) if source.labels else beside)
        numbers = _read_idx(files[1])
        if pixels.ndim != 3 or numbers.ndim != 1 or len(pixels) != len(numbers) or 0 in pixels.shape:
            shapes = f"{pixels.shape} and its labels {numbers.shape} numbers"
            raise QkvError(f"{path} holds {shapes}: not pictures with labels")
        labels = Labels.read(numbers.tolist(), range(len(numbers)), class_names(source.classes, path), path)
    else:
        labels = Labels.none(len(pixels))
    return Pictures(path, pixels.__getitem__, lambda i: f"{path}, picture {i + 1}", [*map(str, files)], labels)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    try:
        content = regular(path).read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise QkvError(f"{path} does not exist: check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        raise QkvError(f"{path} is damaged or cannot be read ({error}): fetch it again") from None
    # Two zero bytes, the type (8 is unsigned byte), the number of dimensions, then each as a big-endian integer.
    dimensions = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    header = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:header]) if len(content) >= header else ()
    if not shape or len(content) - header != math.prod(shape):
        raise QkvError(f"{path} is no whole IDX file of bytes: fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
