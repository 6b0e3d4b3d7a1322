"""What a translation is: text, score, flags and alternatives; and how one is put together from its parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import zip_longest
from typing import Any

from qkv.systems.showing import table
from qkv.systems.translator.sentences import join

_LONGEST_BLOCK, _REPETITIONS, _SHORTEST_LOOP = 16, 3, 6


@dataclass(frozen=True)
class Translation:
    """One translated text, on one line.

    Attributes:
        score: log P / length ** length_penalty in nats, where the length counts tokens, end tokens included; the
            closer to 0 the surer was the model. 0.0 for an empty text.
        flags: what a reader should know, in this order: "split" (the text was translated in parts, which do not know of
            one another, and joined again: it has several sentences, or one that is longer than the model can take),
            "repeated" (the translation goes round in a loop that the text does not have), "empty" (there was nothing to
            translate), "length_limit" (a part was cut at the length limit), "unsure" (a part is unlike the text that
            the model was trained on, or its translation improbable), "language" (the text is clearly in `language`).
        n_best: the alternatives, best first, beginning with this one; empty unless several were asked for.
        language: which of its languages the model takes the text to be in, where that is none it translates from here.
    """

    text: str
    score: float
    flags: tuple[str, ...] = ()
    n_best: tuple["Translation", ...] = ()
    language: str | None = None

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """The text and its flags, or a table of the alternatives, for a notebook."""
        if self.n_best:
            return table([(one.text, f"{one.score:.2f} {', '.join(one.flags)}".strip()) for one in self.n_best])
        return f'<div dir="auto">{escape(self.text)}</div><small>{escape(", ".join(self.flags))}</small>'

    def to_json(self) -> dict[str, Any]:
        """Text, score and flags as JSON values; the language where it is flagged, the alternatives if there are any."""
        result: dict[str, Any] = {"text": self.text, "score": round(self.score, 4), "flags": list(self.flags)}
        result |= {"language": self.language} if self.language else {}
        return result | ({"n_best": [other.to_json() for other in self.n_best]} if self.n_best else {})


@dataclass(frozen=True)
class Candidate:
    """A possible translation of the first parts of a text.

    Attributes:
        texts: translations of the parts.
        log_probability: of all their tokens, in nats.
        length: number of those tokens, end tokens included.
        repeated: one of the parts goes round in a loop.
        unfinished: one of the parts was cut at the length limit.
        unsure: one of the parts is unlike the training text, or its translation improbable.
    """

    texts: tuple[str, ...] = ()
    log_probability: float = 0.0
    length: int = 0
    repeated: bool = False
    unfinished: bool = False
    unsure: bool = False

    def __add__(self, other: "Candidate") -> "Candidate":
        return Candidate(
            self.texts + other.texts,
            self.log_probability + other.log_probability,
            self.length + other.length,
            self.repeated or other.repeated,
            self.unfinished or other.unfinished,
            self.unsure or other.unsure,
        )

    def score(self, length_penalty: float) -> float:
        """The log-probability / length ** length_penalty."""
        return self.log_probability / max(self.length, 1) ** length_penalty


def combine(
    parts: Sequence[str],
    candidates: Sequence[Sequence[Candidate]],
    n_best: int,
    length_penalty: float,
    language: str | None = None,
) -> Translation:
    """The translation of a text from candidates for each of its parts: best first, none for a part that holds nothing.

    Gives at most `n_best` alternatives; those with equal texts count once. `language` is what the text is in,
    where that is not what it should be in.
    """

    def best(choices: Iterable[Candidate]) -> list[Candidate]:
        # A whole one comes before one that was cut, as in `generation`.
        return sorted(choices, key=lambda one: (not one.unfinished, one.score(length_penalty)), reverse=True)[:n_best]

    row = [best(choices) or [Candidate(("",))] for choices in candidates]
    while len(row) > 1:  # neighbours two by two, so that thousands of parts take no quadratic time
        pairs = zip_longest(row[::2], row[1::2], fillvalue=[Candidate()])
        row = [best(left + right for left in lefts for right in rights) for lefts, rights in pairs]
    found: dict[str, Translation] = {}
    for candidate in row[0]:
        conditions = {
            "split": len(parts) > 1,
            "repeated": candidate.repeated,
            "empty": not any(candidates),
            "length_limit": candidate.unfinished,
            "unsure": candidate.unsure,
            "language": language is not None,
        }
        text = join(parts, candidate.texts)
        flags = tuple(name for name, holds in conditions.items() if holds)
        found.setdefault(text, Translation(text, candidate.score(length_penalty), flags, language=language))
    first, *_ = alternatives = tuple(found.values())
    return replace(first, n_best=alternatives) if n_best > 1 else first


def goes_round(tokens: Sequence[int], source: Sequence[int]) -> bool:
    """Whether the output repeats one block again and again, much more than the source does."""
    loop = _longest_loop(tokens)
    return loop >= _SHORTEST_LOOP and loop > 2 * _longest_loop(source)


def _longest_loop(tokens: Sequence[int]) -> int:
    """Tokens in the longest stretch that is a block of up to 16 tokens at least three times in a row."""
    if len(tokens) - len(set(tokens)) < _REPETITIONS - 1:
        return 0
    longest = 0
    for period in range(1, min(_LONGEST_BLOCK, len(tokens) // _REPETITIONS) + 1):
        same = 0
        for token, later in zip(tokens, tokens[period:]):
            same = same + 1 if token == later else 0
            if same >= (_REPETITIONS - 1) * period:
                longest = max(longest, same + period)
    return longest
