"""Tables of captioned pictures: CSV and JSONL with their paths, Parquet with their paths or the pictures themselves."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from qkv.data.captions.sources import Caption, CaptionedPictures, CaptionSource
from qkv.data.lines import read_lines
from qkv.data.pictures.decode import Picture
from qkv.data.pictures.sources import Pictures
from qkv.data.table import MissingColumn, choose_rows, read_table
from qkv.errors import QkvError


def open_table(source: CaptionSource, cache: Path) -> CaptionedPictures:
    """Find the pictures of a table and their captions.

    Args:
        source: has a table.
        cache: where large columns are kept in a form that is quick to read.

    Raises:
        QkvError: the table is missing, empty or damaged, or lacks a column or such rows as are asked for.
    """
    captions = [(language, column) for language, columns in source.columns.items() for column in columns]
    columns = [column for _, column in captions]
    table = _read(Path(source.table or ""), [*columns, source.image_column, *(source.where or {})], cache)
    rows = choose_rows(table.path, len(table), table.values, source.where or {})
    pictures, rows_of, files = _pictures(table, source.image_column, rows)

    def captions_of(index: int) -> list[Caption]:
        return [
            (language, text)
            for row in rows_of(index)
            for language, column in captions
            for text in texts_of_cell(table.cell(column, row), f"{table.name(row)}, {column!r}")
        ]

    return CaptionedPictures(source, pictures, captions_of, [str(table.path), *files])


def texts_of_cell(cell: object, name: str) -> list[str]:
    """The captions in a cell: a text, a list of them, or nothing, which counts as an empty one.

    Raises:
        QkvError: it holds something else.
    """
    texts: list[Any] = cell if isinstance(cell, list) else [cell]
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise QkvError(f"{name} holds {str(text)[:40]!r}, which is no text: correct it, or name another place")
    return [text or "" for text in texts]


@dataclass(frozen=True)
class _Table:
    """Columns of a file.

    Attributes:
        path: the file.
        columns: Arrow's of .csv and .parquet, lists of .jsonl.
        lines: the line of each row, of .jsonl.
    """

    path: Path
    columns: Mapping[str, pa.ChunkedArray | list[Any]]
    lines: list[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def cell(self, column: str, row: int) -> Any:
        cell = self.columns[column][row]
        return cell.as_py() if isinstance(cell, pa.Scalar) else cell

    def values(self, column: str) -> list[Any]:
        values = self.columns[column]
        return values if isinstance(values, list) else values.to_pylist()

    def name(self, row: int) -> str:
        return f"{self.path}, row {row + 1}" if self.lines is None else f"{self.path}, line {self.lines[row]}"


def _read(path: Path, names: list[str], cache: Path) -> _Table:
    if path.suffix.lower() != ".jsonl":
        return _Table(path, read_table(path, names, cache))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    lines: list[int] = []
    known: set[str] = set()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QkvError(f"{path}, line {number}: not JSON ({error}); write one object a line") from error
        if not isinstance(row, dict):
            raise QkvError(f'{path}, line {number}: not an object; write {{"image": "...", "caption": "..."}}')
        lines.append(number)
        known |= row.keys()
        for name, column in columns.items():
            column.append(row.get(name))
    if not lines:
        raise QkvError(f"{path} is empty: it must hold at least one picture")
    for name in names:
        if name not in known:
            raise MissingColumn(path, name, sorted(known), "key")
    return _Table(path, columns, lines)


def _pictures(table: _Table, column: str, rows: list[int]) -> tuple[Pictures, Callable[[int], list[int]], list[str]]:
    """The pictures, the rows of each, and their files if they have any."""
    values = table.columns[column]
    if isinstance(values, list) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _of_paths(table, column, rows)
    types = pa.types
    if not (types.is_binary(values.type) or types.is_large_binary(values.type) or types.is_struct(values.type)):
        raise QkvError(f"{table.path}: column {column!r} holds {values.type}, neither paths nor encoded pictures")

    def read(index: int) -> Picture:
        cell = table.cell(column, rows[index])
        if isinstance(cell, dict):  # as the `datasets` library stores pictures
            cell = cell.get("bytes") or (table.path.parent / cell["path"] if cell.get("path") else None)
        if not cell:
            raise QkvError(f"{table.name(rows[index])} has no picture: complete it, or take it out")
        return cell

    pictures = Pictures(np.zeros(len(rows), np.int64), ("",), read, lambda index: table.name(rows[index]))
    return pictures, lambda index: [rows[index]], []


def _of_paths(table: _Table, column: str, rows: list[int]) -> tuple[Pictures, Callable[[int], list[int]], list[str]]:
    paths, members = table.values(column), dict[str, list[int]]()
    for row in rows:
        named = isinstance(paths[row], str) and paths[row]
        members.setdefault(str(table.path.parent / paths[row]) if named else table.name(row), []).append(row)
    names, groups = list(members), list(members.values())

    def read(index: int) -> Picture:
        if not paths[groups[index][0]]:
            raise QkvError(f"{names[index]} has no picture: complete it, or take it out")
        return names[index]

    pictures = Pictures(np.zeros(len(names), np.int64), ("",), read, names.__getitem__)
    return pictures, groups.__getitem__, names
