"""What the training data is like, told before training starts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qkv.data.parallel.examples import EMPTY, FATES, TOO_LONG, Examples, blocks, hash_pairs
from qkv.data.parallel.vocabulary import format_direction
from qkv.reporter import Table

_SUSPICIOUS_RATIO = 3.0
_SMOOTHING = 5  # tokens added to both sides, so that a few short words raise no suspicion
_LONGEST_COUNTED = 2**15
_HASHES_AT_ONCE = 2**18
_PLACES = 3


class Lengths:
    """Lengths of the texts of one side, counted a block at a time; tokens without tag, BEGIN and END."""

    def __init__(self) -> None:
        self._texts = self._tokens = self._characters = self.max_tokens = self.max_characters = 0
        self._counts = np.zeros(_LONGEST_COUNTED + 1, np.int64)

    def add(self, tokens: NDArray[np.int32], characters: NDArray[np.int32]) -> None:
        """Count a block."""
        self._texts += len(tokens)
        self._tokens += int(tokens.sum(dtype=np.int64))
        self._characters += int(characters.sum(dtype=np.int64))
        self.max_tokens = max(self.max_tokens, int(tokens.max()))
        self.max_characters = max(self.max_characters, int(characters.max()))
        self._counts += np.bincount(np.minimum(tokens, _LONGEST_COUNTED), minlength=len(self._counts))

    @property
    def mean_characters(self) -> float:
        """Unicode code points of a text, on average."""
        return self._characters / self._texts

    def __str__(self) -> str:
        """Tokens: the mean, what 95 % of the texts have at most, and the most."""
        most = np.searchsorted(np.cumsum(self._counts), 0.95 * self._texts)
        return f"{self._tokens / self._texts:.1f}/{most:,}/{self.max_tokens:,}"


@dataclass(frozen=True)
class DirectionReport:
    """One direction.

    A pair is suspicious if it is neither empty nor too long, but one side is three times as long in tokens as the other
    lets expect, going by the average of the direction. It is used.

    Attributes:
        direction: such as "en-de".
        pairs: lines of all its corpora.
        fates: how many of them are used, or left out and why: each pair counts once (`examples.FATES`)
        duplicates: pairs equal on both sides to another one, the first of each not counted.
        suspicious: pairs neither empty nor too long, one side three times as long in tokens as the other lets expect,
            going by the average of the direction. They are used.
        source: lengths of its sources.
        target: lengths of its targets.
        places: file and line of the first pairs that are empty, too_long or suspicious.
    """

    direction: str
    pairs: int
    fates: dict[str, int]
    duplicates: int
    suspicious: int
    source: Lengths
    target: Lengths
    places: dict[str, list[str]]


@dataclass(frozen=True)
class Report:
    """The pre-flight report.

    Attributes:
        train: by direction.
        validation: directions without validation pairs are missing.
        vocabulary: source tokens, or all if the vocabulary is shared.
        target_vocabulary: target tokens if the vocabularies are separate.
    """

    train: list[DirectionReport]
    validation: list[DirectionReport]
    vocabulary: int
    target_vocabulary: int | None

    @classmethod
    def of(cls, train: Examples, validation: Examples) -> "Report":
        """Look through the lengths and hashes of all pairs, a block at a time."""
        numbers, codec = range(len(train.codec.directions)), train.codec
        reports = [[_direction(one, number) for number in numbers if one.size(number)] for one in (train, validation)]
        return cls(reports[0], reports[1], codec.vocabulary, codec.target_vocabulary)

    def to_table(self) -> Table:
        """For a person."""
        headings = "pairs", "used", "empty", "too\nlong", "held\nout", "dupli-\ncate", "odd\nratio", "vali-\ndation"
        rows, validation = [], {row.direction: row.fates["used"] for row in self.validation}
        for row in self.train:
            fates = (row.fates["used"], row.fates["empty"], row.fates["too_long"])
            held_out = row.fates["held_out"] + row.fates["shadowed"] + row.fates["validated"]
            numbers = (row.pairs, *fates, held_out, row.duplicates, row.suspicious, validation.get(row.direction, 0))
            rows.append((row.direction, *(f"{n:,}" for n in numbers), f"{row.source}\n{row.target}"))
        title = f"The data, with a vocabulary of {self.vocabulary:,}"
        title += f" + {self.target_vocabulary:,}" if self.target_vocabulary else ""
        return Table(("", *headings, "tokens\nmean/95%/max"), rows, title, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        """Where to look for what is odd."""
        for row in self.train:
            if count := row.fates["validated"]:
                yield f"{row.direction}: left out, {count:,} pairs that are in validation too"
            for kind, places in row.places.items():
                total = row.suspicious if kind == "suspicious" else row.fates[kind]
                name = {"too_long": "too long", "suspicious": "odd ratio"}.get(kind, kind)
                yield f"{row.direction}, {name}: {', '.join(places)}{', …' if total > len(places) else ''}"


def _direction(examples: Examples, direction: int) -> DirectionReport:
    sides = Lengths(), Lengths()
    totals = np.ones(2)
    for indices in blocks(*examples.range(direction)):
        fit = _fit(examples.fate(indices))
        tokens = examples.tokens_of(indices)
        for side, *lengths in zip(sides, tokens, examples.numbers(indices, lambda corpus: corpus.text.characters)):
            side.add(*lengths)
        totals += [of_side[fit].sum(dtype=np.int64) for of_side in tokens]
    average = totals[0] / totals[1]
    fates = np.zeros(len(FATES), np.int64)
    suspicious = 0
    places: dict[str, list[str]] = {}
    for indices in blocks(*examples.range(direction)):
        fate = examples.fate(indices)
        fates += np.bincount(fate, minlength=len(FATES))
        source, target = examples.tokens_of(indices)
        ratio = np.log((source + _SMOOTHING) / (target * average + _SMOOTHING))
        odd = (np.abs(ratio) > np.log(_SUSPICIOUS_RATIO)) & _fit(fate)
        suspicious += int(odd.sum())
        for kind, of_kind in (("empty", fate == EMPTY), ("too_long", fate == TOO_LONG), ("suspicious", odd)):
            known = places.setdefault(kind, [])
            known += map(examples.place, indices[np.flatnonzero(of_kind)[: _PLACES - len(known)]])
    return DirectionReport(
        direction=format_direction(examples.codec.directions[direction]),
        pairs=examples.size(direction),
        fates=dict(zip(FATES, fates.tolist())),
        duplicates=_duplicates(examples, direction),
        suspicious=suspicious,
        source=sides[0],
        target=sides[1],
        places={kind: known for kind, known in places.items() if known},
    )


def _fit(fate: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Pairs that are neither empty nor over-long."""
    return (fate != EMPTY) & (fate != TOO_LONG)


def _duplicates(examples: Examples, direction: int) -> int:
    """Pairs that repeat another one. Hashes are gone through in slices by value, so that few are in memory at once."""
    slices = -(-examples.size(direction) // _HASHES_AT_ONCE)
    duplicates = 0
    for number in range(slices):
        found = []
        for indices in blocks(*examples.range(direction)):
            source, target = examples.numbers(indices, lambda corpus: corpus.text.hashes)
            pair = hash_pairs(source, target)
            found.append(pair[pair % np.uint64(slices) == number])
        duplicates += sum(map(len, found)) - len(np.unique(np.concatenate(found)))
    return duplicates
