"""Where parallel text lies and how it is mixed: the `data` section of a recipe."""

import math
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from qkv.config import check_range
from qkv.data.parallel.vocabulary import Direction
from qkv.errors import QkvError

IGNORED = "_"


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One source of parallel text: line-aligned files, or a table. Any file may be compressed (.gz).

    Attributes:
        files: language to text file; line n of each says the same. Two or more languages.
        table: a .tsv, .tab or .txt file with a language a column, or a .jsonl file of {"en": ..., "ko": ...} or
            {"translation": {"en": ..., "ko": ...}}.
        columns: languages of a table. For tab-separated text in the order of its columns, "_" for one to ignore;
            further columns are ignored, and so is a first line that names them; if not given, that is a header of their
            codes. For JSONL the keys to read, if not those of the first line.
        directions: such as ["en-de", "de-en"]; every ordered pair of the languages if not given.
    """

    files: dict[str, str] | None = None
    table: str | None = None
    columns: list[str] | None = None
    directions: list[str] | None = None

    def __post_init__(self) -> None:
        if (self.files is None) == (self.table is None):
            raise ValueError("a corpus has either files or a table")
        if self.files is not None and self.columns is not None:
            raise ValueError("columns belong to a table; files name their languages themselves")
        if self.files is not None and len(self.files) < 2:
            raise ValueError(f"files need at least two languages, not {len(self.files)}")
        if self.columns is not None:
            languages = [column for column in self.columns if column != IGNORED]
            if len(languages) < 2 or len(set(languages)) < len(languages):
                raise ValueError(f"columns must name two or more different languages, not {self.columns}")

    @property
    def is_jsonl(self) -> bool:
        """Whether the table is JSONL."""
        return self.table is not None and Path(self.table.removesuffix(".gz")).suffix in (".jsonl", ".json")

    @property
    def paths(self) -> list[Path]:
        """Its files."""
        return [Path(path) for path in (self.files.values() if self.files else [self.table or ""])]

    @property
    def name(self) -> str:
        """Its first file, for messages."""
        return str(self.paths[0])


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a translator is trained and validated on.

    A direction with n pairs is drawn in proportion to n^(1/temperature): 1 as often as it occurs, larger values more
    and more evenly (Arivazhagan et al. 2019, section 3.3).

    Attributes:
        train: sources of training pairs.
        validation: if none, pairs of each training corpus are held out.
        temperature: a direction with n pairs is drawn in proportion to n^(1/temperature): 1 as often as it occurs,
            larger values more and more evenly (Arivazhagan et al. 2019, section 3.3).
        weights: factors on it, such as {en-de: 4}; 1 where not named.
        max_length: pairs with more tokens on a side are left out of training, and counted in the report.
        batch_tokens: largest batch, as sentences times the longest sentence of either side.
        holdout: pairs held out if there is no validation, at most 5 % of the training pairs.
    """

    train: list[CorpusConfig]
    validation: list[CorpusConfig] = field(default_factory=list)
    temperature: float = 1.0
    weights: dict[str, float] = field(default_factory=dict)
    max_length: int = 256
    batch_tokens: int = 4096
    holdout: int = 1000

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train names no corpus")
        check_range(self, 1, math.inf, "temperature")
        for direction, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"weights: that of {direction} must be positive, not {weight}")
        check_range(self, 1, 2**16, "max_length")
        check_range(self, 1, 2**24, "batch_tokens")
        check_range(self, 1, math.inf, "holdout")


def directions_of(corpus: CorpusConfig, languages: tuple[str, ...]) -> tuple[Direction, ...]:
    """The corpus's directions as (from, to) pairs; a QkvError where one is not made of two of the languages."""
    pairs = {f"{from_}-{to}": (from_, to) for from_, to in permutations(languages, 2)}
    if corpus.directions is None:
        return tuple(pairs.values())
    for name in corpus.directions:
        if name not in pairs:
            raise QkvError(f"{corpus.name}: no direction {name!r}; its languages make {', '.join(pairs)}")
    return tuple(pairs[name] for name in dict.fromkeys(corpus.directions))
