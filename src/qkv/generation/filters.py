"""What may not be generated: small frozen objects that set log-probabilities to -inf."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from qkv.errors import QkvError
from qkv.generation.hypotheses import Live


@dataclass(frozen=True, kw_only=True)
class Request:
    """What filters are checked against before anything is generated.

    Attributes:
        limits: most tokens for each input row, the end token included.
        vocabulary: number of tokens.
        end_id: the token that finishes a hypothesis.
        filters: all of them.
    """

    limits: tuple[int, ...]
    vocabulary: int
    end_id: int
    filters: tuple["Filter", ...]


@runtime_checkable
class Filter(Protocol):
    """Forbids tokens."""

    def __call__(self, log_probs: Float[Tensor, "N V"], live: Live) -> Float[Tensor, "N V"]:
        """The log-probabilities with -inf where a token may not follow; others are left as they are."""
        ...

    def check(self, request: Request) -> None:
        """Refuse with a QkvError what contradicts the request."""
        ...


@dataclass(frozen=True)
class MinLength:
    """At least n tokens before the end token of every row.

    Attributes:
        n: for all input rows, or one for each.
    """

    n: int

    def __call__(self, log_probs: Float[Tensor, "N V"], live: Live) -> Float[Tensor, "N V"]:
        """Forbid the end token while a row is too short."""
        if live.length >= self.n:
            return log_probs
        return log_probs.index_fill(1, torch.tensor([live.end_id], device=log_probs.device), -math.inf)

    def check(self, request: Request) -> None:
        """There must be an end token, and it must fit behind n tokens."""
        if not 0 <= request.end_id < request.vocabulary:
            raise QkvError("a minimum length holds back the end token, but this model has none; drop the minimum")
        for row, limit in enumerate(request.limits):
            if self.n >= limit:
                what = f"row {row} must have at least {self.n} tokens but its max_length is {limit}, end token included"
                raise QkvError(f"{what}; lower the minimum or raise max_length")


@dataclass(frozen=True)
class ForcedPrefix:
    """Every hypothesis begins with these tokens; their log-probabilities count in its score.

    Attributes:
        tokens: for all input rows, or for each (an empty one forces nothing)
    """

    tokens: Sequence[int] | Sequence[Sequence[int]]

    def __call__(self, log_probs: Float[Tensor, "N V"], live: Live) -> Float[Tensor, "N V"]:
        """Forbid everything but the next token of the prefix."""
        position = live.length
        if all(position >= len(prefix) for prefix in self._prefixes(1)):
            return log_probs
        prefixes = self._prefixes(1 + int(live.sentence.max()))
        forced = torch.tensor([prefix[position] if position < len(prefix) else -1 for prefix in prefixes])
        forced = forced.to(log_probs.device)[live.sentence]
        rows = (forced >= 0).nonzero()[:, 0]
        filtered = log_probs.clone()
        filtered[rows] = -math.inf
        filtered[rows, forced[rows]] = log_probs[rows, forced[rows]]
        return filtered

    def _prefixes(self, rows: int) -> list[Sequence[int]]:
        """One prefix for each input row; at least `rows` of them if one prefix serves all."""
        nested = [prefix for prefix in self.tokens if not isinstance(prefix, int)]
        flat = [token for token in self.tokens if isinstance(token, int)]
        return nested or [flat] * rows

    def check(self, request: Request) -> None:
        """The prefix must fit, and no other filter may forbid it."""
        prefixes = self._prefixes(len(request.limits))
        if len(prefixes) != len(request.limits):
            raise QkvError(f"{len(prefixes)} forced prefixes for {len(request.limits)} rows; give one, or one for each")
        last = request.vocabulary - 1
        for row, (prefix, limit) in enumerate(zip(prefixes, request.limits, strict=True)):
            what = f"the forced prefix of row {row}"
            if len(prefix) >= limit:
                given = f"{len(prefix)} tokens but max_length is {limit}, end token included"
                raise QkvError(f"{what} has {given}; shorten the prefix or raise max_length")
            if request.end_id in prefix:
                raise QkvError(f"{what} holds the end token {request.end_id}; leave it out")
            for token in prefix:
                if not 0 <= token <= last:
                    raise QkvError(f"{what} names token {token}, but the vocabulary has tokens 0 to {last}")
        for other in request.filters:
            if other is not self:
                self._check_against(other, prefixes, request)

    def _check_against(self, other: Filter, prefixes: list[Sequence[int]], request: Request) -> None:
        for position in range(max(map(len, prefixes), default=0)):
            rows = [row for row, prefix in enumerate(prefixes) if position < len(prefix)]
            live = Live(
                tokens=torch.tensor([list(prefixes[row][:position]) for row in rows], dtype=torch.long),
                log_probability=torch.zeros(len(rows)),
                search=torch.tensor(rows),
                samples=1,
                end_id=request.end_id,
            )
            allowed = other(torch.zeros(len(rows), request.vocabulary), live)
            for index, row in enumerate(rows):
                token = prefixes[row][position]
                if allowed[index, token] == -math.inf:
                    what = f"the forced prefix of row {row} has token {token} at position {position}"
                    raise QkvError(f"{what}, which {other} forbids; drop one of the two")


@dataclass(frozen=True)
class NoRepeatNgram:
    """No n tokens in a row may occur twice (Paulus et al. 2018, section 2.5, with n = 3). The prompt does not count.

    Attributes:
        n: 1 forbids every token after its first use.
    """

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise QkvError(f"a repeated sequence has at least 1 token, so no-repeat n-gram cannot have n = {self.n}")

    def __call__(self, log_probs: Float[Tensor, "N V"], live: Live) -> Float[Tensor, "N V"]:
        """Forbid each token that once followed what are now the last n - 1 tokens."""
        if live.length < self.n:
            return log_probs
        windows = live.tokens.unfold(1, self.n, 1)  # [N, L - n + 1, n]
        last = live.tokens[:, live.length - self.n + 1 :]  # [N, n - 1]
        rows, starts = (windows[..., :-1] == last[:, None]).all(dim=-1).nonzero(as_tuple=True)
        filtered = log_probs.clone()
        filtered[rows, windows[rows, starts, -1]] = -math.inf
        return filtered

    def check(self, request: Request) -> None:
        """Goes with every request."""
