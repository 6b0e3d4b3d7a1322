"""Tables of pictures: CSV and JSONL with their paths, Parquet with their paths or the pictures themselves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from qkv.data.lines import read_lines
from qkv.data.pictures.decode import Picture
from qkv.data.table import MissingColumn, Where, choose_rows, read_table
from qkv.errors import QkvError


@dataclass(frozen=True)
class Table:
    """Some columns of a table, one of them of pictures, and the rows of it that are used."""

    path: Path
    columns: Mapping[str, pa.ChunkedArray | list[Any]]  # Arrow's of .csv and .parquet, lists of .jsonl
    lines: Sequence[int] | None  # of each row, in .jsonl
    image_column: str  # holds paths, which count from the table's folder, or the pictures themselves
    rows: Sequence[int]  # that are used, from 0 on
    files: Mapping[int, str] | None  # by row, where one is named; None if the column holds the pictures themselves

    @classmethod
    def open(
        cls, path: Path, columns: Sequence[str], image_column: str, where: Where | None, cache: Path | None
    ) -> "Table":
        """Read columns, `image_column` among them, of a .csv, .parquet or .jsonl; `cache` keeps large ones."""
        columns = [*columns, *(where or {})]
        jsonl = path.suffix.lower() == ".jsonl"
        found, lines = _read_jsonl(path, columns) if jsonl else (read_table(path, columns, cache, image_column), None)
        count = len(found[columns[0]])
        rows = choose_rows(path, count, lambda column: _values(path, column, found[column]), where or {})
        return cls(path, found, lines, image_column, rows, _files(path, image_column, found[image_column], rows))

    def values(self, column: str) -> list[Any]:
        """The cells of a column, of the rows that are used."""
        cells = _values(self.path, column, self.columns[column])
        return [cells[row] for row in self.rows]

    def cell(self, column: str, row: int) -> Any:
        """A cell."""
        cell = self.columns[column][row]
        return _plain(cell, self.name(row), column) if isinstance(cell, pa.Scalar) else cell

    def name(self, row: int) -> str:
        """What a row is called in messages."""
        return f"{self.path}, row {row + 1}" if self.lines is None else f"{self.path}, line {self.lines[row]}"

    def picture(self, row: int) -> Picture:
        """The picture of a row, not decoded."""
        if self.files is not None:
            found = self.files.get(row)
        elif isinstance(found := self.cell(self.image_column, row), dict):  # as the `datasets` library stores pictures
            found = found.get("bytes") or (self.path.parent / found["path"] if found.get("path") else None)
        if not found:
            raise QkvError(f"{self.name(row)} has no picture: complete it, or take it out")
        return found


def _values(path: Path, name: str, column: pa.ChunkedArray | list[Any]) -> list[Any]:
    if isinstance(column, list):
        return column
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_plain(cell, f"{path}, row {row}", name) for row, cell in enumerate(column, 1)]  # which names it


def _plain(cell: pa.Scalar, row: str, name: str) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError as error:  # Arrow does not look at the bytes of a text
        fault = f"{name!r} is not UTF-8 (byte {error.start} of it)"
        raise QkvError(f"{row}: {fault}; convert it to UTF-8, or take the row out") from None


def _files(path: Path, name: str, column: pa.ChunkedArray | list[Any], rows: Sequence[int]) -> dict[int, str] | None:
    if isinstance(column, list) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        cells = _values(path, name, column)
        named = ((row, cells[row]) for row in rows)
        return {row: str(path.parent / file) for row, file in named if file and isinstance(file, str)}
    kind = column.type
    encoded = pa.types.is_struct(kind) and any(kind.get_field_index(part) >= 0 for part in ("bytes", "path"))
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or encoded):
        raise QkvError(f"{path}: column {name!r} holds {kind}, neither paths nor encoded pictures")
    return None


def _read_jsonl(path: Path, names: Sequence[str]) -> tuple[dict[str, list[Any]], list[int]]:
    """Columns, empty where a line has no such key, and the line of each row."""
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
    return columns, lines
