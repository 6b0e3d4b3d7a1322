"""How the next tokens are chosen: greedy, sampling, beam. Small frozen objects, pure functions of what they see."""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.errors import QkvError
from qkv.generation.hypotheses import Live


@runtime_checkable
class Strategy(Protocol):
    """What the loop asks of a strategy."""

    @property
    def samples(self) -> int:
        """Independent searches for each input row."""
        ...

    @property
    def n_best(self) -> int:
        """Hypotheses that each search returns."""
        ...

    @property
    def length_penalty(self) -> float:
        """Exponent of the length in the score."""
        ...

    def select(self, log_probs: Float[Tensor, "N V"], live: Live) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
        """Choose how to go on.

        Args:
            log_probs: the model's log-probabilities of the next token, -inf where a filter forbids it.
            live: the hypotheses to go on from.

        Returns:
            The row that each chosen continuation extends, rows of one search together and searches in ascending order,
            and the token that it adds. The loop drops choices of probability zero.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """The most probable token at each step."""

    samples: int = field(default=1, init=False, repr=False)
    n_best: int = field(default=1, init=False, repr=False)
    length_penalty: float = field(default=0.0, init=False, repr=False)  # none: the score is the log-probability

    def select(self, log_probs: Float[Tensor, "N V"], live: Live) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
        """Every row goes on with its best token."""
        return torch.arange(len(log_probs), device=log_probs.device), log_probs.argmax(dim=-1)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Draw each token from the model's distribution, by the Gumbel-max trick (Maddison et al. 2014, section 2).

    The noise is a function of (seed, input, number of the sample, position) alone. So a row gives the same samples by
    itself and anywhere in a batch, and asking for more samples leaves the earlier ones as they were.

    Attributes:
        temperature: divides the log-probabilities; below 1 is bolder, above 1 more varied.
        top_k: draw from the k most probable tokens only.
        top_p: draw from the smallest set of most probable tokens that holds this much probability, counted after
            temperature and top_k (Holtzman et al. 2020, section 3.1).
        seed: another seed, other samples.
        n: samples for each input row. They are independent, and so may be equal.
        first: number of the first sample: many samples may be drawn in parts, which give the same ones.
        inputs: a number for each input row (`for_inputs`): rows of other numbers draw other noise. If empty, all rows
            share it, and choose alike where their distributions are alike.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    n: int = 1
    first: int = 0
    inputs: tuple[int, ...] = ()
    n_best: int = field(default=1, init=False, repr=False)  # each sample is a search of its own
    length_penalty: float = field(default=0.0, init=False, repr=False)  # none: the score is the log-probability

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise QkvError(f"temperature must be a number above 0, not {self.temperature}; 0 would be greedy search")
        if self.top_k is not None and self.top_k < 1:
            raise QkvError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise QkvError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.top_k == 1 and self.top_p is not None:
            raise QkvError(f"top_k=1 leaves one token, so top_p={self.top_p} cannot mean anything; drop one of the two")
        if self.seed < 0:
            raise QkvError(f"seed must not be negative, but is {self.seed}")
        if self.n < 1:
            raise QkvError(f"n must be at least 1 sample, not {self.n}")
        if self.first < 0:
            raise QkvError(f"first must not be negative, but is {self.first}")

    @property
    def samples(self) -> int:
        """`n`."""
        return self.n

    def select(self, log_probs: Float[Tensor, "N V"], live: Live) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
        """Every row goes on with one drawn token."""
        scores = log_probs / self.temperature
        noise = self._noise(live, log_probs.shape[1])
        rows = torch.arange(len(log_probs), device=log_probs.device)
        if self.top_k is None and self.top_p is None:
            return rows, (scores + noise).argmax(dim=-1)
        vocabulary = log_probs.shape[1]
        scores, candidates = scores.topk(min(self.top_k or vocabulary, vocabulary))  # [N, k], most probable first
        if self.top_p is not None:
            probability = scores.softmax(dim=-1)
            before = probability.cumsum(dim=-1) - probability
            scores = scores.masked_fill(before >= self.top_p, -math.inf)
        drawn = (scores + noise.gather(1, candidates)).argmax(dim=-1)
        return rows, candidates[rows, drawn]

    def for_inputs(self, inputs: Iterable[Sequence[int]]) -> "Sampling":
        """The same, but with noise of its own for each input.

        Args:
            inputs: the tokens of each input row, unpadded; equal ones share their noise.
        """
        return replace(self, inputs=tuple(zlib.crc32(np.array(tokens, np.int64).tobytes()) for tokens in inputs))

    def _noise(self, live: Live, vocabulary: int) -> Float[Tensor, "N V"]:
        rows = zip(live.sentence.tolist(), live.sample.tolist(), strict=True)
        keys = [
            (self.seed, self.inputs[sentence] if self.inputs else 0, self.first + sample, live.length)
            for sentence, sample in rows
        ]
        noise = {key: np.random.default_rng(key).gumbel(size=vocabulary) for key in set(keys)}
        return torch.from_numpy(np.stack([noise[key] for key in keys]).astype(np.float32)).to(live.tokens.device)


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Beam search: the `size` most probable unfinished hypotheses of each sentence go on.

    A continuation with the end token counts if it is among the `size` best continuations; it leaves the beam and
    another takes its place. The search goes on until no hypothesis in the beam can lead to a score above the kept ones.

    Attributes:
        size: hypotheses in the beam. A beam of one is greedy search, whatever the length penalty.
        length_penalty: alpha in log P(y|x) / |y|^alpha, where |y| counts the end token; 1 is the mean log-probability
            of a token (Cho et al. 2014, section 4.3), 0 the plain sum. A positive alpha makes long translations win, a
            negative one short ones. Wu et al. 2016, equation 14, divide by ((5 + |y|)/6)^alpha instead.
        n_best: finished hypotheses to return for each sentence.
    """

    size: int = 5
    length_penalty: float = 1.0
    n_best: int = 1
    samples: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise QkvError(f"a beam needs a size of at least 1, not {self.size}")
        if not 1 <= self.n_best <= self.size:
            raise QkvError(f"n_best must be from 1 to the beam's size, {self.size}, not {self.n_best}")
        if not -10.0 <= self.length_penalty <= 10.0:
            raise QkvError(f"length_penalty must be from -10 to 10, not {self.length_penalty}; 0 to 1 is usual")

    def select(self, log_probs: Float[Tensor, "N V"], live: Live) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
        """The best continuations of each sentence: `size` that go on, and those of the `size` best that end."""
        # At most `size` continuations end, one for each row, so twice as many hold enough that go on.
        width = 2 * self.size if self.size > 1 else 1
        totals, tokens = (live.log_probability[:, None] + log_probs).topk(min(width, log_probs.shape[1]))  # [N, C]
        grid, rows = _by_search(totals, live.search)  # [R, W, C], [R, W]
        n_searches, _, n_candidates = grid.shape
        best, index = grid.reshape(n_searches, -1).topk(min(width, grid[0].numel()))  # [R, width]
        parents = rows.gather(1, index // n_candidates)
        tokens = tokens[parents, index % n_candidates]
        ends = tokens == live.end_id
        place = torch.arange(best.shape[1], device=best.device)
        chosen = torch.where(ends, place < self.size, (~ends).cumsum(dim=1) <= self.size) & (best != -math.inf)
        return parents[chosen], tokens[chosen]


def _by_search(
    totals: Float[Tensor, "N C"], search: Int[Tensor, "N"]
) -> tuple[Float[Tensor, "R W C"], Int[Tensor, "R W"]]:
    """Each search's rows side by side, with -inf where it has fewer than the widest, and which rows they are."""
    _, group, counts = search.unique_consecutive(return_inverse=True, return_counts=True)
    row = torch.arange(len(search), device=search.device)
    slot = row - (counts.cumsum(0) - counts)[group]
    shape = len(counts), int(counts.max())
    grid = totals.new_full((*shape, totals.shape[1]), -math.inf)
    rows = row.new_zeros(shape)
    grid[group, slot], rows[group, slot] = totals, row
    return grid, rows
