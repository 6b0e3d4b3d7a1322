"""Sequences while they are written (`Live`) and when they are done (`Hypothesis`, `Kept`)."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """One generated sequence.

    Attributes:
        tokens: what was generated, without the prompt and without the end token.
        score: what hypotheses are ranked by: `log_probability` / length ** length_penalty, where the length is the
            number of generated tokens, the end token included.
        log_probability: natural logarithm of the model's own probability of these tokens after the prompt, the end
            token included where there is one. No filter, temperature, top-k or top-p changes it.
        finished: False if it was cut at the length limit, or because the filters left no token to go on with.
        sample: which of several samples for the same input it is, from 0.
    """

    tokens: tuple[int, ...]
    score: float
    log_probability: float
    finished: bool
    sample: int = 0


@dataclass(frozen=True)
class Live:
    """The hypotheses still being written, one a row; all are equally long.

    A *search* is what keeps its own results: one for each input row, or with several samples one for each sample.
    """

    tokens: Int[Tensor, "N L"]  # generated so far, prompt excluded
    log_probability: Float[Tensor, "N"]  # of those tokens
    search: Int[Tensor, "N"]  # to which each row belongs, ascending; rows of one search stand together
    samples: int  # searches for each input row
    end_id: int  # the token that finishes a hypothesis

    @property
    def length(self) -> int:
        """Tokens generated so far."""
        return self.tokens.shape[1]

    @property
    def sentence(self) -> Int[Tensor, "N"]:
        """The input row that each row goes back to."""
        return self.search // self.samples

    @property
    def sample(self) -> Int[Tensor, "N"]:
        """The number of the sample that each row is."""
        return self.search % self.samples

    def extend(self, parents: Int[Tensor, "M"], tokens: Int[Tensor, "M"], log_probs: Float[Tensor, "N V"]) -> "Live":
        """Row i of the result is row `parents[i]` followed by `tokens[i]`."""
        return replace(
            self,
            tokens=torch.cat([self.tokens[parents], tokens[:, None]], dim=1),
            log_probability=self.log_probability[parents] + log_probs[parents, tokens],
            search=self.search[parents],
        )

    def take(self, rows: Bool[Tensor, "N"]) -> "Live":
        """Only the rows that are True."""
        return replace(
            self, tokens=self.tokens[rows], log_probability=self.log_probability[rows], search=self.search[rows]
        )


class Kept:
    """The best `n_best` hypotheses of every search so far, each of which may generate as many tokens as `limits` says.

    The end token counts. The score has the length to the power of `length_penalty`.
    """

    def __init__(self, limits: Int[Tensor, "R"], n_best: int, length_penalty: float) -> None:
        self.n_best, self.length_penalty = n_best, length_penalty
        self._longest = limits.to(torch.float32)
        # The score to beat: that of the worst finished hypothesis once n_best are kept.
        self._to_beat = torch.full_like(self._longest, -math.inf)
        self._kept: list[list[Hypothesis]] = [[] for _ in range(len(limits))]

    def add(self, live: Live, rows: Bool[Tensor, "N"], *, finished: bool) -> None:
        """Keep those rows that are good enough.

        A finished hypothesis goes before an unfinished one whatever their scores: what was cut never paid for its end.
        """
        score = live.log_probability / max(live.length, 1) ** self.length_penalty
        rows = rows & (score > self._to_beat[live.search])
        if not rows.any():
            return
        searches = live.search[rows].tolist()
        columns = live.tokens[rows].tolist(), score[rows].tolist(), live.log_probability[rows].tolist()
        for search, tokens, points, log_probability in zip(searches, *columns, strict=True):
            kept = self._kept[search]
            kept.append(Hypothesis(tuple(tokens[:-1] if finished else tokens), points, log_probability, finished))
            kept.sort(key=_rank, reverse=True)
            del kept[self.n_best :]
            if len(kept) == self.n_best and kept[-1].finished:
                self._to_beat[search] = kept[-1].score

    def can_improve(self, live: Live, rows: Bool[Tensor, "N"]) -> Bool[Tensor, "N"]:
        """True for every row of a search in which one of `rows` can still lead to a hypothesis worth keeping.

        No further token raises a log-probability. So the score is bounded by today's log-probability at the most
        favourable length: the longest allowed where length is rewarded, otherwise the next one.
        """
        length = self._longest[live.search] if self.length_penalty > 0 else float(live.length + 1)
        bound = live.log_probability / length**self.length_penalty
        hopeful = torch.zeros_like(self._to_beat, dtype=torch.bool)
        hopeful[live.search[rows & (bound > self._to_beat[live.search])]] = True
        return hopeful[live.search]

    def by_sentence(self, samples: int) -> list[list[Hypothesis]]:
        """All hypotheses of each input row, best first."""
        rows = []
        for first in range(0, len(self._kept), samples):
            numbered = enumerate(self._kept[first : first + samples])
            found = [replace(hypothesis, sample=sample) for sample, kept in numbered for hypothesis in kept]
            rows.append(sorted(found, key=_rank, reverse=True))
        return rows


def _rank(hypothesis: Hypothesis) -> tuple[bool, float]:
    return hypothesis.finished, hypothesis.score
