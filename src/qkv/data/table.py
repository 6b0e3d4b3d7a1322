"""Tables of labelled pictures: CSV with their paths, Parquet with their paths or the pictures themselves."""

import csv as csv_lines
import fnmatch
import json
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from qkv.config import nearest
from qkv.data.cache import digest, file_state, read_arrow, write_arrow
from qkv.data.lines import read_lines
from qkv.errors import QkvError
from qkv.files import regular

_IN_MEMORY = 2**28  # bytes of encoded pictures; more are memory-mapped
_BLOCK_ROWS = 256

Where = dict[str, str | int | list[str | int]]
"""Column of a table to the value that its rows have there, or to several of which they have one; or to patterns."""


class MissingColumn(QkvError):
    """A table lacks a column, or whatever else that is called there; `said` is this without the advice."""

    def __init__(self, path: Path, column: str, known: Sequence[str], what: str = "column") -> None:
        self.column, self.known, self.said = column, known, f"{path} has no {what} {column!r}"
        super().__init__(f"{self.said}; {nearest(column, known)}")


def read_table(path: Path, columns: Sequence[str], cache: Path | None = None) -> dict[str, pa.ChunkedArray]:
    """Columns of a table, by name.

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
            table = _read_csv(path, columns)
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


def _read_csv(path: Path, columns: list[str]) -> pa.Table:
    ragged: list[csv.InvalidRow] = []

    def refuse(row: csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    # Left to itself, Arrow takes `NA` for nothing, `true` for a truth value and `007` for a number.
    text = csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False)
    parsing = csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse)
    try:
        table = csv.read_csv(path, parse_options=parsing, convert_options=text)
        _check_columns(path, table.column_names, columns)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise QkvError(_csv_fault(path, ragged, str(error))) from None
    return table


def _csv_fault(path: Path, ragged: Sequence[csv.InvalidRow], reason: str) -> str:
    """Why a CSV file cannot be read, and what to do."""
    deque(read_lines(path), maxlen=0)  # tells itself what cannot be opened, and where it is not UTF-8
    if ragged:
        row = ragged[0]
        cells = f"{row.actual_columns} in the row {row.text[:60]!r}, {row.expected_columns} in the header"
        return f"{path}: cells are missing or too many, {cells}; give all rows as many, and quote what has a comma"
    reason = " ".join(reason.split())[:200]
    return f"{path} cannot be read ({reason}): save it as UTF-8 with one header line and as many cells in every row"


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
                return next(csv_lines.reader(file), [])
        if path.suffix.lower() == ".jsonl":
            first = json.loads(next(read_lines(path), "{}"))
            return list(first) if isinstance(first, dict) else []
    except (QkvError, pa.ArrowException, OSError, ValueError, csv_lines.Error, RecursionError):
        pass
    return []
