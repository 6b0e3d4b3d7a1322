"""Parallel text on disk, memory-mapped: Arrow for texts and tokens, flat arrays for what every pair has a number of.

Whatever the size of a corpus, only a block of it is in memory at a time. A store is a folder named after its origin
(files with size and time of change, options, tokenizer), so that it is made once and made anew when its origin changes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qkv.data.parallel.config import CorpusConfig
from qkv.data.parallel.readers import read_languages, read_rows
from qkv.data.randomness import hash_text
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.files import atomic_folder

Progress = Callable[[str, int, int | None], None]
"""Called now and then with what is under way, rows done, and rows in all if known."""

_FORMAT = 1
_BLOCK_ROWS = 8192
_TEXTS_AT_ONCE = 512
_BLOCK_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class TextStore:
    """A corpus's texts, one column a language, and of each text its length and a hash that tells equal ones.

    Attributes:
        folder: where it lies.
        corpus: its origin.
        languages: the columns.
        rows: number of lines.
        total_characters: over all lines, by column.
    """

    folder: Path
    corpus: CorpusConfig
    languages: tuple[str, ...]
    rows: int
    total_characters: tuple[int, ...]

    @classmethod
    def open(cls, corpus: CorpusConfig, cache: Path, progress: Progress | None = None) -> "TextStore":
        """The store of a corpus in `cache`, made if need be.

        Raises:
            QkvError: the corpus is unreadable, malformed or empty.
        """
        stamps = []
        for path in corpus.paths:
            try:
                stamps.append([str(path.resolve()), (stat := path.stat()).st_size, stat.st_mtime_ns])
            except OSError as error:
                raise QkvError(f"{path} does not exist or cannot be read: check the path") from error
        folder = cache / f"texts-{_key(stamps, list(corpus.files or ()), corpus.columns)}"
        if not folder.exists():
            _write_texts(corpus, folder, progress)
        info = json.loads((folder / "info.json").read_text())
        return cls(folder, corpus, tuple(info["languages"]), info["rows"], tuple(info["total_characters"]))

    @property
    def characters(self) -> NDArray[np.int32]:
        """Characters of each text, [rows, languages], memory-mapped."""
        return _array(self.folder / "characters.bin", np.int32, self.rows)

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each text, [rows, languages], memory-mapped; surrounding white space does not count."""
        return _array(self.folder / "hashes.bin", np.uint64, self.rows)

    def texts(self, language: str) -> "Column":
        """The texts of a language."""
        return _column(self.folder / "texts.arrow", language)


@dataclass(frozen=True)
class TokenStore:
    """The token ids of a `TextStore`, without tags, BEGIN and END.

    Attributes:
        folder: where it lies.
        rows: number of lines.
    """

    folder: Path
    rows: int

    @classmethod
    def open(
        cls, texts: TextStore, tokenizers: Sequence[Tokenizer], cache: Path, progress: Progress | None = None
    ) -> "TokenStore":
        """The store in `cache`, made if need be; `tokenizers` are those of the text store's columns."""
        protos = [hashlib.sha256(tokenizer.to_bytes()).hexdigest() for tokenizer in tokenizers]
        folder = cache / f"tokens-{_key(texts.folder.name, protos)}"
        if not folder.exists():
            _write_tokens(texts, tokenizers, folder, progress)
        return cls(folder, texts.rows)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each text, [rows, languages], memory-mapped."""
        return _array(self.folder / "lengths.bin", np.int32, self.rows)

    def tokens(self, language: str) -> "Column":
        """The token ids of a language."""
        return _column(self.folder / "tokens.arrow", language)


class Column:
    """One column of an Arrow file, memory-mapped."""

    def __init__(self, path: Path, name: str) -> None:
        from datasets import Dataset  # takes a second to import, which `qkv translate` need not wait for

        self._dataset = Dataset.from_file(str(path)).select_columns([name]).with_format("arrow")

    def __getitem__(self, rows: NDArray[np.int64]) -> pa.Array:
        """These rows, in this order; at least one."""
        table: pa.Table = self._dataset[rows.tolist()]
        return table.column(0).combine_chunks()

    def blocks(self) -> Iterator[pa.Array]:
        """All rows in order, in the blocks they were written in."""
        yield from self._dataset.data.column(0).chunks


@lru_cache(maxsize=256)
def _column(path: Path, name: str) -> Column:
    """Opening one reads the place of every block; memory maps never change, since a store is never written again."""
    return Column(path, name)


def _write_texts(corpus: CorpusConfig, folder: Path, progress: Progress | None) -> None:
    languages = read_languages(corpus)
    schema = pa.schema([(language, pa.string()) for language in languages])
    rows, totals = 0, np.zeros(len(languages), np.int64)
    with atomic_folder(folder) as temporary, _Writer(temporary / "texts.arrow", schema) as writer:
        for block in _blocks(read_rows(corpus, languages)):
            writer.arrow([pa.array(column, pa.string()) for column in zip(*block)])
            characters = np.array([[len(text) for text in row] for row in block], np.int32)
            writer.append("characters.bin", characters)
            writer.append("hashes.bin", np.array([[hash_text(text) for text in row] for row in block], np.uint64))
            rows, totals = rows + len(block), totals + characters.sum(0)
            if progress:
                progress(f"reading {corpus.name}", rows, None)
        if not rows:
            raise QkvError(f"{corpus.name} is empty: it must hold at least one line")
        writer.info(rows=rows, languages=languages, total_characters=totals.tolist())


def _write_tokens(texts: TextStore, tokenizers: Sequence[Tokenizer], folder: Path, progress: Progress | None) -> None:
    fits = all(len(tokenizer) <= 2**16 for tokenizer in tokenizers)
    kind = pa.list_(pa.uint16() if fits else pa.int32())
    schema = pa.schema([(language, kind) for language in texts.languages])
    done = 0
    columns = [texts.texts(language).blocks() for language in texts.languages]
    with atomic_folder(folder) as temporary, _Writer(temporary / "tokens.arrow", schema) as writer:
        for block in zip(*columns, strict=True):
            tokens = [_encode(tokenizer, column, kind) for tokenizer, column in zip(tokenizers, block, strict=True)]
            writer.arrow(tokens)
            writer.append("lengths.bin", np.stack([column.value_lengths().to_numpy() for column in tokens], axis=1))
            done += len(block[0])
            if progress:
                progress(f"tokenizing {texts.corpus.name}", done, texts.rows)
        writer.info(rows=done)


def _encode(tokenizer: Tokenizer, texts: pa.Array, kind: pa.ListType) -> pa.ListArray:
    """Token ids of a block, a few texts at a time: as Python numbers they take twenty times their space."""
    lengths, values = [0], []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        rows = tokenizer.encode(texts.slice(start, _TEXTS_AT_ONCE).to_pylist())
        lengths += map(len, rows)
        values.append(np.fromiter(chain.from_iterable(rows), kind.value_type.to_pandas_dtype()))
    return pa.ListArray.from_arrays(np.cumsum(lengths, dtype=np.int32), np.concatenate(values))


def _blocks(rows: Iterator[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
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


class _Writer:
    """An Arrow file and, beside it, flat binary arrays that grow block by block."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = path.parent, schema
        self._writer = pa.RecordBatchStreamWriter(str(path), schema)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def arrow(self, columns: list[pa.Array]) -> None:
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def append(self, name: str, values: NDArray[Any]) -> None:
        with (self._folder / name).open("ab") as file:
            file.write(np.ascontiguousarray(values).data)

    def info(self, **values: Any) -> None:
        (self._folder / "info.json").write_text(json.dumps(values))


def _array(path: Path, dtype: Any, rows: int) -> NDArray[Any]:
    return np.memmap(path, dtype, mode="r").reshape(rows, -1)


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *parts]).encode()).hexdigest()[:16]
