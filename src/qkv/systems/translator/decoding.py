"""How to search for a translation: the options of `Translator.translate`, checked before anything is computed."""

from dataclasses import dataclass
from typing import TypedDict

from qkv.errors import QkvError
from qkv.generation import Beam, Filter, ForcedPrefix, MinLength, NoRepeatNgram, Sampling

_BEAM_SIZE = 5
MOST_HYPOTHESES, MOST_TOKENS = 500, 10_000
"""Bounds of beam_size and n_best, and of max_length: what is beyond them takes all memory, and helps nobody."""


class DecodingOptions(TypedDict, total=False):
    """Keywords of `Translator.translate`; `Decoding` says what they mean."""

    beam_size: int | None
    n_best: int
    length_penalty: float | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    seed: int | None
    min_length: int
    max_length: int | None
    no_repeat_ngram: int | None
    prefix: str


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How to search for a translation. Any of temperature, top_k, top_p and seed asks for sampling.

    Attributes:
        beam_size: hypotheses of a sentence that go on; 1 is greedy. None: 5, or n_best if that is more.
        n_best: alternatives to return.
        length_penalty: exponent of the length in a beam's scores; 1 if None.
        temperature: of sampling; below 1 is bolder, above 1 more varied.
        top_k: sample from the k most probable tokens only.
        top_p: sample from the smallest set of most probable tokens that holds this much probability.
        seed: of sampling; another seed, another translation.
        min_length: least number of tokens of each sentence's translation.
        max_length: greatest number of them, end token included; if None, enough for such a source.
        no_repeat_ngram: no sequence of so many tokens may occur twice in a sentence.
        prefix: the translation begins with this text.

    Raises:
        QkvError: the options contradict one another.
    """

    beam_size: int | None = None
    n_best: int = 1
    length_penalty: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    min_length: int = 0
    max_length: int | None = None
    no_repeat_ngram: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.n_best < 1:
            raise QkvError(f"n_best must be at least 1, not {self.n_best}")
        for name, number in (("n_best", self.n_best), ("beam_size", self.beam_size or 0)):
            if number > MOST_HYPOTHESES:
                raise QkvError(f"{name} must be at most {MOST_HYPOTHESES}, not {number}; 4 to 10 are usual")
        if self.min_length < 0:
            raise QkvError(f"min_length must not be negative, but is {self.min_length}")
        longest = self.min_length + 1 if self.max_length is None else self.max_length
        if longest > MOST_TOKENS:
            given = f"min_length ({self.min_length})" if self.max_length is None else f"max_length ({self.max_length})"
            raise QkvError(f"{given} is above what one translation may have, {MOST_TOKENS:,} tokens: choose less")
        if self.max_length is not None and self.max_length <= self.min_length:
            raise QkvError(
                f"max_length ({self.max_length}) must be above min_length ({self.min_length}): it counts the end token"
            )
        if self.no_repeat_ngram is not None:
            NoRepeatNgram(self.no_repeat_ngram)  # refuses what is no length
        if self._sampling:
            asked = f"{' and '.join(self._sampling)} ask{'s' * (len(self._sampling) == 1)} for sampling"
            if self.beam_size is not None and self.beam_size > 1:
                raise QkvError(f"{asked}, beam_size={self.beam_size} for beam search; drop one of the two")
            if self.length_penalty is not None:
                raise QkvError(f"{asked}, which ranks nothing by length; drop length_penalty")
        _ = self.strategy  # refuses what is out of range

    @property
    def _sampling(self) -> list[str]:
        return [name for name in ("temperature", "top_k", "top_p", "seed") if getattr(self, name) is not None]

    @property
    def strategy(self) -> Beam | Sampling:
        """How tokens are chosen."""
        if self._sampling:
            return Sampling(n=self.n_best, **{name: getattr(self, name) for name in self._sampling})
        size = max(_BEAM_SIZE, self.n_best) if self.beam_size is None else self.beam_size
        penalty = {} if self.length_penalty is None else {"length_penalty": self.length_penalty}
        return Beam(size=size, n_best=self.n_best, **penalty)

    @property
    def score_penalty(self) -> float:
        """Exponent of the length in `Translation.score`; that of a beam for samples too, so that scores compare."""
        strategy = self.strategy
        return strategy.length_penalty if isinstance(strategy, Beam) else Beam().length_penalty

    @property
    def width(self) -> int:
        """Rows that one sentence takes in a batch."""
        strategy = self.strategy
        return strategy.size if isinstance(strategy, Beam) else strategy.n

    def check_vocabulary(self, size: int) -> None:
        """Refuse a beam that is wider than a vocabulary: its first step could not fill it."""
        if isinstance(self.strategy, Beam) and self.width > size:
            raise QkvError(f"beam_size ({self.width}) is above the {size:,} tokens of the model's vocabulary")

    def filters(self, prefixes: list[tuple[int, ...]]) -> list[Filter]:
        """What may not be generated after these beginnings, one for each row."""
        return [
            *([MinLength(self.min_length)] if self.min_length else []),
            *([NoRepeatNgram(self.no_repeat_ngram)] if self.no_repeat_ngram is not None else []),
            *([ForcedPrefix(prefixes)] if any(prefixes) else []),
        ]
