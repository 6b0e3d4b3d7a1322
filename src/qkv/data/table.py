"""Tables of labelled pictures: CSV with their paths, Parquet with their paths or the pictures themselves."""

import csv
import fnmatch
import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from qkv.config import nearest
from qkv.data.cache import digest, file_state, read_arrow, write_arrow
from qkv.data.lines import read_lines
from qkv.errors import QkvError
from qkv.files import regular

_IN_MEMORY = 2**28  # bytes of encoded pictures; more are memory-mapped
_BLOCK_ROWS = 256
_CSV_ROWS = 16384
_LONGEST_CELL = 2**20  # characters; a longer one is taken for a quotation mark that is not closed
_QUOTING = "put a cell that has a quotation mark, a comma or a line break between two marks, and double its own"
_CSV_FAULTS = {
    "unexpected end of data": "a quotation mark opens a cell that is never closed",
    "',' expected after '\"'": "a quotation mark closes a cell before its end",
    f"field larger than field limit ({_LONGEST_CELL})": f"a cell has more than {_LONGEST_CELL:,} characters",
}

Where = dict[str, str | int | list[str | int]]
"""Column of a table to the value that its rows have there, or to several of which they have one; or to patterns."""


class MissingColumn(QkvError):
    """A table lacks a column, or whatever else that is called there; `said` is this without the advice."""

    def __init__(self, path: Path, column: str, known: Sequence[str], what: str = "column") -> None:
        self.column, self.known, self.said = column, known, f"{path} has no {what} {column!r}"
        super().__init__(f"{self.said}; {nearest(column, known)}")


def read_table(
    path: Path, columns: Sequence[str], cache: Path | None = None, pictures: str | None = None
) -> dict[str, pa.ChunkedArray]:
    """Columns of a table, by name; `pictures` is that of pictures, if there is one.

    Parquet is compressed by the thousand rows, which makes one row dear to read. So columns are kept in memory, or if
    they are large, as those of pictures are, copied once into an Arrow file in `cache` (or a temporary one), which is
    memory-mapped.

    Raises:
        QkvError: the file is missing, damaged or empty, or lacks a column.
    """
    columns, large = list(dict.fromkeys(columns)), set()
    try:
        regular(path)
        if path.suffix.lower() == ".csv":
            table = _read_csv(path, columns, pictures)
        else:
            with parquet.ParquetFile(path) as file:
                _check_columns(path, file.schema_arrow.names, columns)
                large = {column for column in columns if _size(file, column) > _IN_MEMORY}
                table = file.read([column for column in columns if column not in large])
        found = {column: _mapped(path, column, cache) if column in large else table[column] for column in columns}
    except FileNotFoundError:
        raise QkvError(f"{path} does not exist: check the path") from None
    except PermissionError:
        raise QkvError(f"{path} may not be read: check its permissions") from None
    except UnicodeDecodeError:
        raise QkvError(f"{path}: the name of a column is not UTF-8: rename it") from None
    except (pa.ArrowException, OSError):
        fault = "it is cut short, damaged or no Parquet file"
        raise QkvError(f"{path} cannot be read: {fault}; fetch it or write it again") from None
    if not len(found[columns[0]]):
        raise QkvError(f"{path} is empty: it must hold at least one picture")
    return found


def told_names(path: Path, label: str) -> list[str] | None:
    """Names for the numbers in a column of labels, if the file tells them, as those of the `datasets` library do."""
    try:
        told = json.loads((parquet.read_schema(regular(path)).metadata or {})[b"huggingface"])
        return list(told["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException):  # it may be no Parquet file
        return None


def _read_csv(path: Path, columns: list[str], pictures: str | None) -> pa.Table:
    """Columns of a CSV file as RFC 4180 has it, a quotation mark out of place refused; all cells are text.

    `pictures` is the column of their paths: a quoted cell may go over several lines, but not over rows with pictures of
    their own, which a missing quotation mark would swallow.
    """
    csv.field_size_limit(_LONGEST_CELL)
    parts: dict[str, list[pa.Array]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines: list[str] = []  # of the row that is read
        rows = csv.reader(_noted(file, lines), strict=True)
        header: list[str] = []
        block: list[list[str]] = []
        first = 1  # line of the row
        try:
            for row in rows:
                if row and not header:
                    header = row
                    _check_columns(path, header, columns)
                elif row:
                    _check_row(path, first, row, header, lines, pictures)
                    block.append(row)
                if len(block) == _CSV_ROWS:
                    _append(parts, header, columns, block)
                    block = []
                lines.clear()
                first = rows.line_num + 1
        except csv.Error as error:
            fault = _CSV_FAULTS.get(str(error), str(error))
            raise QkvError(f"{path}, line {first}: {fault}; {_QUOTING}") from None
        except UnicodeDecodeError:
            deque(read_lines(path), maxlen=0)  # tells where
            raise
    if not header:
        raise QkvError(f"{path} is empty: save it as UTF-8 with one header line and as many cells in every row")
    _append(parts, header, columns, block)
    return pa.table({column: pa.chunked_array(parts[column], pa.string()) for column in columns})


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _append(parts: dict[str, list[pa.Array]], header: list[str], columns: list[str], rows: list[list[str]]) -> None:
    for column in columns:
        place = header.index(column)
        parts.setdefault(column, []).append(pa.array([row[place] for row in rows], pa.string()))


def _check_row(
    path: Path, first: int, row: list[str], header: list[str], lines: Sequence[str], pictures: str | None
) -> None:
    if len(row) != len(header):
        cells = f"{len(row)} in the row {''.join(lines).strip()[:60]!r}, {len(header)} in the header"
        advice = "give all rows as many, and quote what has a comma"
        raise QkvError(f"{path}, line {first}: cells are missing or too many, {cells}; {advice}")
    if len(lines) == 1 or pictures is None:
        return
    for number, line in enumerate(lines[1:], first + 1):
        cells = next(csv.reader([line]), [])
        if len(cells) == len(header) and (name := cells[header.index(pictures)]) and os.path.isfile(path.parent / name):
            swallowed = f"goes on over line {number}, a row with a picture of its own ({name})"
            raise QkvError(f"{path}, line {first}: a cell between quotation marks {swallowed}; {_QUOTING}")


def _check_columns(path: Path, known: list[str], columns: list[str]) -> None:
    for column in columns:
        if column not in known:
            raise MissingColumn(path, column, known)
        if known.count(column) > 1:
            raise QkvError(f"{path} has several columns {column!r}: rename all but one")


def _size(file: parquet.ParquetFile, column: str) -> int:
    groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    # A struct of bytes and path is stored as two columns, `image.bytes` and `image.path`.
    return sum(c.total_uncompressed_size for c in chunks if f"{c.path_in_schema}.".startswith(f"{column}."))


def _mapped(path: Path, column: str, cache: Path | None) -> pa.ChunkedArray:
    """A column of a Parquet file, memory-mapped from an Arrow file that has it alone."""
    if cache is None:
        with tempfile.TemporaryDirectory() as folder:  # a deleted file goes on for as long as it is mapped
            return _mapped(path, column, Path(folder))
    file = cache / f"column-{digest(path.resolve(), file_state(path), column)}.arrow"
    if (table := read_arrow(file)) is None:
        with parquet.ParquetFile(path) as source:
            schema = pa.schema([source.schema_arrow.field(column)])
            table = write_arrow(file, schema, source.iter_batches(_BLOCK_ROWS, columns=[column]))
    return table[column]


def choose_rows(path: Path, n_rows: int, values_of: Callable[[str], list[Any]], where: Where) -> list[int]:
    """The rows of a table that have the values asked for, in every column that is named.

    Values are compared as they are written, or as patterns of `fnmatch`. A QkvError, in which `path` is named, tells
    where no row, of those that the columns before leave, has one of the values.
    """
    rows = list(range(n_rows))
    for column, wanted in where.items():
        values = [str(value) for value in values_of(column)]
        there = {values[row] for row in rows}
        matching: set[str] = set()
        for value in sorted(map(str, wanted if isinstance(wanted, list) else [wanted])):
            found = {value} & there or {known for known in there if fnmatch.fnmatchcase(known, value)}
            if not found:
                known = nearest(value, there) if len(there) <= 20 else f"there are {len(there):,} others"
                raise QkvError(f"{path}: no row has {value!r} as {column}; {known}")
            matching |= found
        if not matching:
            raise QkvError(f"{path}: where asks for no value of {column}, which leaves no row; name one")
        rows = [row for row in rows if values[row] in matching]
    return rows


def column_names(path: Path) -> list[str]:
    """The columns of a .csv or .parquet table, or the keys of the first line of .jsonl; none where it is no such file.

    It never fails: what cannot be read is told by whoever reads it.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return list(parquet.read_schema(regular(path)).names)
        if path.suffix.lower() == ".csv":
            with regular(path).open(encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file), [])
        if path.suffix.lower() == ".jsonl":
            first = json.loads(next(read_lines(path), "{}"))
            return list(first) if isinstance(first, dict) else []
    except (QkvError, pa.ArrowException, OSError, ValueError, csv.Error, RecursionError):
        pass
    return []
