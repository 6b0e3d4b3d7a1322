"""Sources of pictures, opened: folders, tables, the files of the MNIST family, shards."""

import gzip
import math
import re
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.folders import look_inside
from qkv.data.pictures.decode import is_picture, pictures_inside
from qkv.data.pictures.labels import Labels, class_names, tidy
from qkv.data.pictures.shards import Shards
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.pictures.tables import Table
from qkv.data.table import told_names
from qkv.errors import QkvError
from qkv.files import regular
from qkv.reporter import Reporter

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
_WORDS = re.compile(r"[a-z]+")  # of the names of folders, such as "seg_train"
_NAMED = 3
_ENTERED = "links to folders that are entered another way, or hold the link itself"


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
    if parts := _parts(classes):
        named = " and ".join(map(str, parts))
        raise QkvError(f"{folder} is divided already: train on one of {named}, and name another as validation")
    files: list[str] = []
    labels: list[int] = []
    passed_over = [file for file in sorted(folder.iterdir()) if is_picture(file)]  # beside the folders, of no class
    not_entered: list[Path] = []
    for number, class_ in enumerate(classes):
        found = look_inside(class_)
        inside = [str(file) for file in found.files if is_picture(file)]
        if not inside:
            others = f" (not even {found.files[0].name}, by its name)" if found.files else ""
            raise QkvError(f"{class_} holds no pictures{others}: add some, or remove the folder")
        files += inside
        labels += [number] * len(inside)
        passed_over += [file for file in found.files if not is_picture(file)]
        not_entered += found.not_entered
    told = Labels.of_folders(labels, classes)
    what = "no pictures by name or in no class folder"
    notes = [*_named(folder, passed_over, what), *_named(folder, not_entered, _ENTERED), *told.notes]
    return Pictures(folder, files.__getitem__, files.__getitem__, files, told, notes)


def _parts(folders: Sequence[Path]) -> list[Path]:
    """The parts of a set that is divided already, if these folders are such, and not classes.

    Their names tell if they all are those of parts. Beside other folders, as of a copy of the set, two at least must be
    called so and hold folders of pictures, and none themselves.
    """
    if {path.name.lower() for path in folders} <= _SPLITS:
        return list(folders)
    called = [path for path in folders if _SPLITS & {*_WORDS.findall(path.name.lower())}]
    found = [
        path for path in called if not any(map(is_picture, path.iterdir())) and any(map(Path.is_dir, path.iterdir()))
    ]
    return found if len(found) > 1 else []


def _of_folder(folder: Path) -> Pictures:
    found, not_entered = pictures_inside(folder)
    files, notes = list(map(str, found)), _named(folder, not_entered, _ENTERED)
    return Pictures(folder, files.__getitem__, files.__getitem__, files, Labels.none(len(files)), notes)


def _named(folder: Path, paths: Sequence[Path], what: str) -> list[str]:
    """A line about paths that are passed over, if there are any."""
    names = ", ".join(map(str, paths[:_NAMED])) + (", …" if len(paths) > _NAMED else "")
    return [f"{folder}: passed over, {len(paths):,} in all, {what}: {names}"] if paths else []


def _of_table(source: PictureSource, path: Path, cache: Path | None, labelled: bool) -> Pictures:
    image, label = source.image_column, source.label_column
    table = Table.open(path, [image, label] if labelled else [image], image, source.where, cache)
    labels = Labels.none(len(table.rows))
    if labelled:
        names = class_names(source.classes, path) or tuple(map(tidy, told_names(path, label) or ())) or None
        labels = Labels.read(table.values(label), table.rows, names, path)
    return replace(of_rows(table, table.rows, labels), notes=labels.notes)


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
