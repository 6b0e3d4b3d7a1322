"""Sentence pairs by number: every direction of every corpus laid end to end, though each text is stored once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qkv.data.parallel.store import TextStore, TokenStore
from qkv.data.parallel.vocabulary import Codec, Direction
from qkv.data.randomness import derive_seed, mix
from qkv.data.text.tokenizer import END

Indices = NDArray[np.int64]
BLOCK = 2**17
T = TypeVar("T")

FATES = ("used", "empty", "too_long", "held_out", "shadowed", "validated")
"""Fit for use; or left out, because a side has no text, because a side has more than `max_length` tokens, because
validation uses the pair, because validation uses another pair with the same source text, because files to validate on
have the pair too."""
USED, EMPTY, TOO_LONG, HELD_OUT, SHADOWED, VALIDATED = range(len(FATES))


def blocks(start: int, stop: int) -> Iterator[Indices]:
    """The numbers of a range in order, a block at a time."""
    for begin in range(start, stop, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, stop))


@dataclass(frozen=True)
class Corpus:
    """A corpus's texts and their tokens, and what it is used for."""

    text: TextStore
    tokens: TokenStore
    directions: tuple[Direction, ...]


@dataclass(frozen=True)
class View:
    """One direction of a corpus."""

    corpus: Corpus
    direction: int
    columns: tuple[int, int]  # of the source and the target text
    rows: Indices | None = None  # the lines it is made of; all lines if None
    held_out: Indices = field(default_factory=lambda: np.empty(0, np.int64))  # lines that validation uses instead
    shadowed: Indices = field(default_factory=lambda: np.empty(0, np.int64))  # that share a source text with those
    validated: Indices = field(default_factory=lambda: np.empty(0, np.int64))  # that files to validate on have too

    def __len__(self) -> int:
        return self.corpus.text.rows if self.rows is None else len(self.rows)


class Examples:
    """Sentence pairs, numbered from 0, in the order of directions, corpora and lines.

    Numbers go to pairs that are unfit for training too: empty ones, those with more than `max_length` tokens on a side,
    held-out ones. `usable` tells.
    """

    def __init__(self, views: Sequence[View], codec: Codec, max_length: int) -> None:
        self.views = sorted(views, key=lambda view: view.direction)
        self.codec, self.max_length = codec, max_length
        self._starts = np.cumsum([0, *map(len, self.views)])
        self.usable_pairs = np.zeros(len(codec.directions), np.int64)
        self.longest_source = self.longest_target = 0
        for indices in blocks(0, len(self)):
            indices = indices[self.usable(indices)]
            self.usable_pairs += np.bincount(self.direction(indices), minlength=len(codec.directions))
            source, target = self.lengths(indices)
            self.longest_source = int(source.max(initial=self.longest_source))
            self.longest_target = int(target.max(initial=self.longest_target))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def range(self, direction: int) -> tuple[int, int]:
        """The numbers of a direction's pairs: from the first to before the second."""
        of = [view.direction for view in self.views]
        return int(self._starts[np.searchsorted(of, direction)]), int(self._starts[np.searchsorted(of, direction + 1)])

    def size(self, direction: int) -> int:
        """Number of a direction's pairs, usable or not."""
        start, stop = self.range(direction)
        return stop - start

    def place(self, index: int) -> str:
        """File and line of a pair, such as "pairs.tsv:17"."""
        [(view, _, rows)] = self.split(np.array([index]))
        text = view.corpus.text
        return f"{text.corpus.name}:{rows[0] + text.first_line}"

    def direction(self, indices: Indices) -> Indices:
        """Number of each pair's direction."""
        return np.array([view.direction for view in self.views])[self._view(indices)]

    def tokens_of(self, indices: Indices) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Number of tokens of each source and target text, without tag, BEGIN and END."""
        return self.numbers(indices, lambda corpus: corpus.tokens.lengths)

    def lengths(self, indices: Indices) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """What each pair takes of a batch: source tokens with tag and END, target tokens with BEGIN or END."""
        source, target = self.tokens_of(indices)
        return source + (2 if self.codec.target_tags else 1), target + 1

    def numbers(self, indices: Indices, of: Callable[[Corpus], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """What each source and target text has a number of, given that of all texts of a corpus."""
        numbers = np.empty((2, len(indices)), of(self.views[0].corpus).dtype)
        for view, at, rows in self.split(indices):
            numbers[:, at] = of(view.corpus)[rows][:, view.columns].T
        return numbers[0], numbers[1]

    def fate(self, indices: Indices) -> NDArray[np.int8]:
        """What becomes of each pair, as a number of `FATES`."""
        source, target = self.tokens_of(indices)
        fate = np.full(len(indices), USED, np.int8)
        for view, at, rows in self.split(indices):
            fate[at[np.isin(rows, view.validated)]] = VALIDATED
            fate[at[np.isin(rows, view.shadowed)]] = SHADOWED
            fate[at[np.isin(rows, view.held_out)]] = HELD_OUT
        fate[np.maximum(source, target) > self.max_length] = TOO_LONG
        fate[np.minimum(source, target) == 0] = EMPTY
        return fate

    def usable(self, indices: Indices) -> NDArray[np.bool_]:
        """Whether each pair is fit for use: no side empty or longer than `max_length`, and not set aside."""
        return self.fate(indices) == USED

    def select(self, direction: int) -> Indices:
        """The usable pairs of a direction, in order. Holds 8 bytes a pair: meant for validation."""
        usable = (block[self.usable(block)] for block in blocks(*self.range(direction)))
        return np.concatenate([np.empty(0, np.int64), *usable])

    def texts(self, indices: Indices) -> tuple[list[str], list[str]]:
        """Source and target text of each pair."""
        return self._gather(indices, 0, _texts), self._gather(indices, 1, _texts)

    def tokens(
        self, indices: Indices, *, sampling: float = 0.0, sample_target: bool = False, seed: int = 0
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        """What the encoder reads of each pair (with tag and END), and its bare target tokens.

        `sampling` is subword regularisation of the sources (0 is none) and, if `sample_target`, of the targets too.
        """
        sources = self._tokens(indices, 0, sampling, derive_seed(seed, "source"))
        targets = self._tokens(indices, 1, sampling if sample_target else 0.0, derive_seed(seed, "target"))
        tags = [[self.codec.source.tag(to)] if self.codec.target_tags else [] for _, to in self.codec.directions]
        tagged = zip(self.direction(indices), sources)
        return [np.concatenate([tags[direction], row, [END]]) for direction, row in tagged], targets

    def _tokens(self, indices: Indices, side: int, sampling: float, seed: int) -> list[NDArray[Any]]:
        if not sampling:
            return self._gather(indices, side, _ids)
        tokenizer = (self.codec.source, self.codec.target)[side]
        drawn = tokenizer.encode_sampled(self._gather(indices, side, _texts), alpha=sampling, seed=seed)
        return [np.array(row, np.int64) for row in drawn]

    def _gather(self, indices: Indices, side: int, read: Callable[[Corpus, str, Indices], list[T]]) -> list[T]:
        """Values of one side: 0 for sources, 1 for targets."""
        values: list[Any] = [None] * len(indices)
        for view, at, rows in self.split(indices):
            language = view.corpus.text.languages[view.columns[side]]
            for place, value in zip(at.tolist(), read(view.corpus, language, rows)):
                values[place] = value
        return values

    def split(self, indices: Indices) -> Iterator[tuple[View, Indices, Indices]]:
        """By view: the positions in `indices` of its pairs, and their lines in the corpus."""
        of = self._view(indices)
        for number in np.unique(of):
            view = self.views[number]
            at = np.flatnonzero(of == number)
            rows = indices[at] - self._starts[number]
            yield view, at, rows if view.rows is None else view.rows[rows]

    def _view(self, indices: Indices) -> Indices:
        return np.searchsorted(self._starts, indices, side="right") - 1


def hash_pairs(source: NDArray[np.uint64], target: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each pair, given those of its texts."""
    return mix(mix(source) + target)


def _texts(corpus: Corpus, language: str, rows: Indices) -> list[str]:
    return corpus.text.columns[language][rows].to_pylist()


def _ids(corpus: Corpus, language: str, rows: Indices) -> list[NDArray[Any]]:
    column = corpus.tokens.columns[language][rows]
    ends, values = column.offsets.to_numpy(), column.values.to_numpy()
    return [values[start:end] for start, end in pairwise(ends)]
