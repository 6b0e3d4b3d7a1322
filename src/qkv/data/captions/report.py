"""What captioned pictures are like, told before training starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qkv.data.captions.store import TokenizedCaptions
from qkv.data.pictures.sources import Indices
from qkv.reporter import Table

_NAMED = 5
_EXAMPLE = 60  # characters


@dataclass(frozen=True)
class LanguageReport:
    """The captions of one language, of training and validation pictures.

    Attributes:
        language: its name.
        pictures: that have a caption in it.
        captions: that are not empty.
        empty: captions without a token; they are not shown.
        cut: captions longer than `text_length`.
        mean_tokens: of those that are not empty.
        p95_tokens: 95 % have at most so many.
        max_tokens: of the longest.
    """

    language: str
    pictures: int
    captions: int
    empty: int
    cut: int
    mean_tokens: float
    p95_tokens: int
    max_tokens: int

    @classmethod
    def of(cls, language: str, tokenized: TokenizedCaptions, own: Indices, text_length: int) -> "LanguageReport":
        """Count these captions of a language and their tokens."""
        full = own[tokenized.lengths[own] > 0]
        tokens = np.sort(tokenized.lengths[full])
        pictures = len(np.unique(tokenized.captions.pictures[full]))
        counts = pictures, len(full), len(own) - len(full), int((tokens > text_length).sum())
        if not len(tokens):
            return cls(language, *counts, 0.0, 0, 0)
        p95 = int(tokens[int(0.95 * (len(tokens) - 1))])
        return cls(language, *counts, float(tokens.mean()), p95, int(tokens[-1]))


@dataclass(frozen=True)
class CaptionReport:
    """The pre-flight report.

    Attributes:
        pictures: their number by part: train, validation.
        captions_per_picture: mean over all pictures, empty ones not counted.
        languages: by language.
        text_length: tokens of a caption that are read.
        vocabulary: tokens.
        left_out: one line for each picture that is left out.
        empty: names of the first pictures with an empty caption.
        longest: the name of the picture with the longest caption, and how that begins.
        notes: what is odd about a source.
    """

    pictures: dict[str, int]
    captions_per_picture: float
    languages: list[LanguageReport]
    text_length: int
    vocabulary: int
    left_out: Sequence[str]
    empty: list[str]
    longest: tuple[str, str]
    notes: Sequence[str]

    @classmethod
    def of(
        cls,
        tokenized: TokenizedCaptions,
        parts: Mapping[str, Indices],
        name: Callable[[int], str],
        text_length: int,
        left_out: Sequence[str],
        notes: Sequence[str],
    ) -> "CaptionReport":
        """Count the captions of the pictures in these parts, and their tokens; `name` names a picture."""
        captions, lengths = tokenized.captions, tokenized.lengths
        shown = np.flatnonzero(np.isin(captions.pictures, np.concatenate(list(parts.values()))))
        longest = int(shown[lengths[shown].argmax()])
        empty = np.unique(captions.pictures[shown[lengths[shown] == 0]])
        return cls(
            pictures={part: len(pictures) for part, pictures in parts.items()},
            captions_per_picture=int((lengths[shown] > 0).sum()) / sum(map(len, parts.values())),
            languages=[
                LanguageReport.of(language, tokenized, shown[captions.languages[shown] == number], text_length)
                for number, language in enumerate(captions.names)
            ],
            text_length=text_length,
            vocabulary=len(tokenized.tokenizer),
            left_out=left_out,
            empty=[name(picture) for picture in empty[:_NAMED].tolist()],
            longest=(name(int(captions.pictures[longest])), captions.texts[longest].as_py()[:_EXAMPLE]),
            notes=notes,
        )

    @property
    def captions(self) -> int:
        """Captions that are not empty."""
        return sum(language.captions for language in self.languages)

    @property
    def cut(self) -> int:
        """Captions longer than `text_length`."""
        return sum(language.cut for language in self.languages)

    def to_table(self) -> Table:
        """For a person."""
        parts = ", ".join(f"{count:,} for {part}" for part, count in self.pictures.items())
        title = f"{sum(self.pictures.values()):,} pictures: {parts}\n"
        title += f"{self.captions_per_picture:.1f} captions each, a vocabulary of {self.vocabulary:,}"
        headings = "", "pictures", "captions", "empty", f"over {self.text_length}", "tokens\nmean/95%/max"
        rows = []
        for row in self.languages:
            numbers = (f"{n:,}" for n in (row.pictures, row.captions, row.empty, row.cut))
            lengths = f"{row.mean_tokens:.1f}/{row.p95_tokens:,}/{row.max_tokens:,}"
            rows.append((row.language, *numbers, lengths))
        empty = sum(language.empty for language in self.languages)
        lines = [f"left out, {len(self.left_out):,} in all: {line}" for line in self.left_out[:_NAMED]]
        lines += [f"empty captions, {empty:,} in all: {', '.join(self.empty)}"] if empty else []
        return Table(headings, rows, title, (*lines, *self.notes))
