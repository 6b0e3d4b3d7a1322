"""Parallel text on disk, memory-mapped: Arrow for texts and tokens, flat arrays for what every pair has a number of.

Whatever the size of a corpus, only a block of it is in memory at a time. A store is a folder named after its origin
(files with size and time of change, options, tokenizer), so that it is made once and made anew when its origin changes.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from qkv.data.cache import digest, map_arrow, read_arrow, write_arrow
from qkv.data.parallel.config import CorpusConfig
from qkv.data.parallel.readers import has_header, is_quoted, read_languages, read_rows
from qkv.data.randomness import hash_text
from qkv.data.text.tokenizer import READING, Tokenizer
from qkv.errors import QkvError
from qkv.files import CHECKSUMS, atomic_folder, find_damage
from qkv.reporter import Reporter

_log = logging.getLogger(__name__)

_FORMAT = 1
_BLOCK_ROWS = 8192
_TEXTS_AT_ONCE = 512
_BLOCK_CHARACTERS = 16_000_000


class Column:
    """One language of a store, an Arrow array for each block of its lines."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.blocks = column.chunks
        self._starts = np.cumsum([0, *map(len, self.blocks)])

    def __getitem__(self, rows: NDArray[np.int64]) -> pa.Array:
        """These lines, in this order; at least one. Arrow's own `take` would join all blocks first."""
        block = np.searchsorted(self._starts, rows, side="right") - 1
        places = zip(block.tolist(), (rows - self._starts[block]).tolist())
        return pa.concat_arrays([self.blocks[block].slice(row, 1) for block, row in places])


@dataclass(frozen=True, eq=False)
class Store:
    """Lines in several languages."""

    folder: Path
    table: pa.Table  # a column for each language

    @property
    def languages(self) -> tuple[str, ...]:
        """Of the columns, in order."""
        return tuple(self.table.column_names)

    @property
    def rows(self) -> int:
        """Number of lines."""
        return self.table.num_rows

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by language."""
        return {language: Column(self.table[language]) for language in self.languages}

    def _numbers(self, name: str, kind: Any) -> NDArray[Any]:
        return np.memmap(self.folder / name, kind, mode="r").reshape(self.rows, -1)


@dataclass(frozen=True, eq=False)
class TextStore(Store):
    """A corpus's texts, and of each text its length and a hash that tells equal ones."""

    corpus: CorpusConfig

    @classmethod
    def open(cls, corpus: CorpusConfig, cache: Path, reporter: Reporter) -> "TextStore":
        """The store of a corpus in `cache`, made if need be; a QkvError if it is unreadable, malformed or empty."""
        try:
            stamps = [[path.resolve(), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in corpus.paths]
        except OSError as error:
            raise QkvError(f"{error.filename} does not exist or cannot be read: check the path") from error
        folder = cache / f"texts-{digest(_FORMAT, stamps, list(corpus.files or ()), corpus.columns)}"
        if (table := _whole(folder, "texts.arrow")) is None:
            table = _write_texts(corpus, folder, reporter)
        return cls(folder, table, corpus)

    @cached_property
    def first_line(self) -> int:
        """The number, in its file, of the line that row 0 is."""
        return 2 if has_header(self.corpus) else 1

    @cached_property
    def characters(self) -> NDArray[np.int32]:
        """Characters of each text, [rows, languages], memory-mapped."""
        return self._numbers("characters.bin", np.int32)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each text, [rows, languages], memory-mapped; surrounding white space does not count."""
        return self._numbers("hashes.bin", np.uint64)


class TokenStore(Store):
    """The token ids of a `TextStore`, without tags, BEGIN and END."""

    @classmethod
    def open(cls, texts: TextStore, tokenizers: Sequence[Tokenizer], cache: Path, reporter: Reporter) -> "TokenStore":
        """The store in `cache`, made if need be; `tokenizers` are those of the text store's columns."""
        protos = [tokenizer.to_bytes() for tokenizer in tokenizers]
        folder = cache / f"tokens-{digest(_FORMAT, READING, texts.folder.name, protos)}"
        if (table := _whole(folder, "tokens.arrow")) is None:
            table = _write_tokens(texts, tokenizers, folder, reporter)
        return cls(folder, table)

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each text, [rows, languages], memory-mapped."""
        return self._numbers("lengths.bin", np.int32)


def _whole(folder: Path, name: str) -> pa.Table | None:
    """The table of a store; None if the store must be made."""
    if fault := find_damage(folder):
        _log.warning("%s is damaged or cut short: it is made anew (%s)", folder, fault)
        return None
    sealed = (folder / CHECKSUMS).exists()  # by older versions it was not
    return map_arrow(folder / name) if sealed else read_arrow(folder / name)


def _write_texts(corpus: CorpusConfig, folder: Path, reporter: Reporter) -> pa.Table:
    languages = read_languages(corpus)
    schema = pa.schema([(language, pa.string()) for language in languages])

    def batches() -> Iterator[pa.RecordBatch]:
        for block in _blocks(read_rows(corpus, languages)):
            _append(temporary / "characters.bin", [[len(text) for text in row] for row in block], np.int32)
            _append(temporary / "hashes.bin", [[hash_text(text) for text in row] for row in block], np.uint64)
            yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in zip(*block)], schema=schema)

    with atomic_folder(folder, sealed=True) as temporary:
        table = write_arrow(temporary / "texts.arrow", schema, batches(), reporter, f"reading {corpus.name}")
        if not table.num_rows:
            raise QkvError(f"{corpus.name} is empty: it must hold at least one line")
    if corpus.table is not None and not corpus.is_jsonl and is_quoted(corpus.paths[0]):
        reporter.say(f"{corpus.name}: cells stand in quotation marks, as spreadsheets write them, which are taken off")
    if corpus.columns is not None and has_header(corpus):
        reporter.say(f"{corpus.name}: the first line names the columns, and is no pair")
    return table


def _write_tokens(texts: TextStore, tokenizers: Sequence[Tokenizer], folder: Path, reporter: Reporter) -> pa.Table:
    kind = pa.list_(pa.uint16() if max(map(len, tokenizers)) <= 2**16 else pa.int32())
    schema = pa.schema([(language, kind) for language in texts.languages])

    def batches() -> Iterator[pa.RecordBatch]:
        for block in texts.table.to_batches():
            tokens = [_encode(tokenizer, column, kind) for tokenizer, column in zip(tokenizers, block.columns)]
            lengths = np.stack([column.value_lengths().to_numpy() for column in tokens], axis=1)
            _append(temporary / "lengths.bin", lengths, np.int32)
            yield pa.RecordBatch.from_arrays(tokens, schema=schema)

    what = f"tokenizing {texts.corpus.name}"
    with atomic_folder(folder, sealed=True) as temporary:
        return write_arrow(temporary / "tokens.arrow", schema, batches(), reporter, what, texts.rows)


def _encode(tokenizer: Tokenizer, texts: pa.Array, kind: pa.ListType) -> pa.ListArray:
    """Token ids of a block, a few texts at a time: as Python numbers they take twenty times their space."""
    lengths, values = [0], []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        rows = tokenizer.encode(texts.slice(start, _TEXTS_AT_ONCE).to_pylist())
        lengths += map(len, rows)
        values.append(np.fromiter(chain.from_iterable(rows), kind.value_type.to_pandas_dtype()))
    return pa.ListArray.from_arrays(np.cumsum(lengths, dtype=np.int32), np.concatenate(values))


def _blocks(rows: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """Rows in lists, cut by number and by text: a line may be as long as a book."""
    block: list[tuple[str, ...]] = []
    characters = 0
    for row in rows:
        block.append(row)
        characters += sum(map(len, row))
        if len(block) == _BLOCK_ROWS or characters >= _BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _append(file: Path, values: ArrayLike, kind: Any) -> None:
    with file.open("ab") as end:
        end.write(np.ascontiguousarray(values, kind).data)
