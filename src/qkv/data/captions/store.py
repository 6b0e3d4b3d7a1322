"""The captions of many pictures on disk, memory-mapped: their texts, and their tokens."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from qkv.data.cache import digest, read_arrow, write_arrow
from qkv.data.captions.sources import CaptionedPictures
from qkv.data.pictures.sources import Indices
from qkv.data.text.padding import pad_captions
from qkv.data.text.tokenizer import READING, Tokenizer
from qkv.reporter import Reporter

_TEXTS = pa.schema([("picture", pa.int64()), ("language", pa.string()), ("text", pa.large_string())])
_AT_ONCE = 2048


@dataclass(frozen=True)
class Captions:
    """All captions of several sources, numbered from 0. Pictures are numbered from one source to the next."""

    pictures: Indices  # of each caption, ascending
    languages: NDArray[np.int16]  # the number of that of each
    names: tuple[str, ...]  # of the languages, by number
    texts: pa.ChunkedArray  # memory-mapped
    states: tuple[str, ...]  # a digest of the captions of each source, which stays where files only changed their dates

    @classmethod
    def open(cls, sources: Iterable[tuple[CaptionedPictures, Indices]], cache: Path, reporter: Reporter) -> "Captions":
        """Read the captions of these pictures of each source into `cache`, unless they are there, and unchanged."""
        names: dict[str, int] = {}
        pictures, languages, texts, states = [], [], [], []
        first = 0
        for source, used in sources:
            file = cache / f"captions-{digest(source.state, used.tobytes())}.arrow"
            if (table := read_arrow(file)) is None:
                what = f"reading captions of {source.source.path.name}"
                table = write_arrow(file, _TEXTS, _text_batches(source, used), reporter, what)
            pictures.append(table["picture"].to_numpy() + first)
            coded: Any = table["language"].combine_chunks().dictionary_encode()
            numbers = np.array([names.setdefault(name, len(names)) for name in coded.dictionary.to_pylist()], np.int16)
            languages.append(numbers[coded.indices.to_numpy()])
            texts += table["text"].chunks
            with file.open("rb") as content:
                states.append(hashlib.file_digest(content, "sha256").hexdigest()[:16])
            first += len(source)
        columns = np.concatenate(pictures), np.concatenate(languages)
        return cls(*columns, tuple(names), pa.chunked_array(texts, pa.large_string()), tuple(states))

    def tokenized(self, tokenizer: Tokenizer, cache: Path, reporter: Reporter) -> "TokenizedCaptions":
        """With the tokens of each caption, which are made once and memory-mapped."""
        file = cache / f"caption-tokens-{digest(READING, self.states, tokenizer.to_bytes())}.arrow"
        if (table := read_arrow(file)) is None:
            schema = pa.schema([("tokens", pa.list_(pa.uint16() if len(tokenizer) <= 2**16 else pa.int32()))])
            encoded = map(tokenizer.encode, _blocks(text.as_py() for text in self.texts))
            batches = (pa.RecordBatch.from_arrays([pa.array(b, schema[0].type)], schema=schema) for b in encoded)
            table = write_arrow(file, schema, batches, reporter, "tokenizing captions", len(self.pictures))
        tokens = table["tokens"]
        lengths = [np.diff(chunk.offsets.to_numpy()) for chunk in tokens.chunks]
        return TokenizedCaptions(self, tokenizer, tokens, np.concatenate([np.empty(0, np.int32), *lengths]))


@dataclass(frozen=True)
class TokenizedCaptions:
    """Captions with their tokens."""

    captions: Captions
    tokenizer: Tokenizer
    tokens: pa.ChunkedArray  # token ids of each, without BEGIN and END; memory-mapped
    lengths: NDArray[np.int32]  # tokens of each

    def texts(self, numbers: Indices) -> list[str]:
        """The texts of some captions."""
        return [self.captions.texts[number].as_py() for number in numbers.tolist()]

    def batch(
        self, numbers: Indices, length: int, sampling: float = 0.0, seed: int = 0
    ) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B"]]:
        """Tokens of some captions, cut or padded with PAD to `length`, and how many are real; 0 is no `sampling`."""
        if sampling:
            rows = self.tokenizer.encode_sampled(self.texts(numbers), alpha=sampling, seed=seed)
        else:
            rows = [self.tokens[number].as_py() for number in numbers.tolist()]
        return pad_captions(rows, length)


def _text_batches(source: CaptionedPictures, used: Indices) -> Iterator[pa.RecordBatch]:
    rows = ((index, language, text) for index in used.tolist() for language, text in source.texts(index))
    for block in _blocks(rows):
        columns = [pa.array(column, field.type) for column, field in zip(zip(*block), _TEXTS)]
        yield pa.RecordBatch.from_arrays(columns, schema=_TEXTS)


def _blocks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while block := list(islice(rows, _AT_ONCE)):
        yield block
