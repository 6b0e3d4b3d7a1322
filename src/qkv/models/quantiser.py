"""From feature maps to the codes of a codebook and back, so that gradients pass: what makes a VAE discrete."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

_DEAD = 0.1
"""A code is dead if it is used less than this share of what even use of all codes would give it."""


@dataclass(frozen=True)
class Quantised:
    """What a quantiser makes of a feature map.

    Attributes:
        vectors: what the decoder reads.
        codes: the likeliest or nearest code of each place.
        penalty: of each place, what training keeps small besides the error of the picture.
    """

    vectors: Float[Tensor, "B D h w"]
    codes: Int[Tensor, "B h w"]
    penalty: Float[Tensor, "B h w"]


@dataclass(frozen=True)
class CodeStatistics:
    """How the codes of a codebook were used, by one batch or by many."""

    counts: Float[Tensor, "*P K"]  # places that each code was given to
    sums: Float[Tensor, "*P K D"]  # of the vectors at these places
    candidates: Float[Tensor, "*P K D"]  # for each code, the vector of a random place, which replaces a dead one
    priorities: Float[Tensor, "*P K"]  # of the candidates, random; the highest stays where batches are merged

    @staticmethod
    def of(vectors: Float[Tensor, "N D"], codes: Int[Tensor, "N"], n_codes: int) -> "CodeStatistics":
        """The statistics of one batch."""
        counts, sums = vectors.new_zeros(n_codes), vectors.new_zeros(n_codes, vectors.shape[1])
        chosen = torch.randint(len(vectors), (n_codes,), device=vectors.device)
        return CodeStatistics(
            counts.index_add_(0, codes, torch.ones_like(vectors[:, 0])),
            sums.index_add_(0, codes, vectors),
            vectors[chosen],
            torch.rand_like(counts),
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> "CodeStatistics":
        """With every tensor changed in the same way."""
        return CodeStatistics(*map(change, vars(self).values()))

    def merged(self) -> "CodeStatistics":
        """Those of several batches, stacked in the first dimension, as if they were one."""
        best = self.priorities.argmax(0)
        every = torch.arange(len(best), device=best.device)
        return CodeStatistics(
            self.counts.sum(0), self.sums.sum(0), self.candidates[best, every], self.priorities[best, every]
        )


class GumbelQuantiser(nn.Module):
    """A distribution over the codes at each place; training mixes the codes by a draw from it.

    The draw is relaxed (Gumbel-softmax: Jang et al. 2016, equation 2). The penalty is the Kullback-Leibler divergence
    from the uniform distribution, in nats (Ramesh et al. 2021, equation 1).
    """

    def __init__(self, width: int, codes: int, d_code: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(width, codes, 1)
        self.codebook = nn.Parameter(torch.randn(codes, d_code))

    def forward(self, x: Float[Tensor, "B F h w"], temperature: float | Float[Tensor, ""]) -> Quantised:
        """Mixed vectors while training, those of the likeliest codes otherwise.

        The lower the temperature, the nearer a mixture is to a single code.
        """
        logits = self.logits(x).float()
        log_shares = logits.log_softmax(1)
        penalty = (log_shares.exp() * log_shares).sum(1) + math.log(logits.shape[1])
        codes = logits.argmax(1)
        if not self.training:
            return Quantised(look_up(self.codebook, codes), codes, penalty)
        noise = -torch.empty_like(logits).exponential_().log()
        mixture = ((logits + noise) / temperature).softmax(1)
        return Quantised(torch.einsum("bkhw,kd->bdhw", mixture, self.codebook), codes, penalty)

    def encode(self, x: Float[Tensor, "B F h w"]) -> Int[Tensor, "B h w"]:
        """The likeliest codes."""
        return self.logits(x).argmax(1)


class VectorQuantiser(nn.Module):
    """The nearest code at each place; gradients pass as if there were nothing between (van den Oord et al. 2017).

    The codebook has no gradient: each code follows the mean of the vectors that it is given to (appendix A.1 there),
    and one that is hardly used is replaced by a random vector (Dhariwal et al. 2020, Jukebox, section 3.1). Training
    gathers the statistics for it until they are taken. The penalty is the commitment, the squared distance to the
    code (van den Oord et al. 2017, equation 3). `decay` is the share of a code's statistics that each update keeps.

    Attributes:
        shares: how much of all places each code is given to; 0 before the first update, which then draws all codes.
    """

    def __init__(self, width: int, codes: int, d_code: int, decay: float) -> None:
        super().__init__()
        self.project = nn.Conv2d(width, d_code, 1)
        self.codebook = nn.Parameter(torch.randn(codes, d_code), requires_grad=False)
        self.shares = nn.Parameter(torch.zeros(codes), requires_grad=False)
        self._decay = decay
        self._gathered: CodeStatistics | None = None

    def forward(self, x: Float[Tensor, "B F h w"]) -> Quantised:
        """The vectors of the nearest codes."""
        vectors = self.project(x).float()
        codes = self._nearest(vectors)
        found = look_up(self.codebook, codes)
        penalty = (vectors - found).square().sum(1)
        if not self.training:
            return Quantised(found, codes, penalty)
        self._gather(vectors.detach(), codes)
        return Quantised(vectors + (found - vectors).detach(), codes, penalty)

    def encode(self, x: Float[Tensor, "B F h w"]) -> Int[Tensor, "B h w"]:
        """The nearest codes."""
        return self._nearest(self.project(x).float())

    def take_statistics(self) -> CodeStatistics:
        """What has been gathered since the last time, of at least one batch."""
        gathered, self._gathered = self._gathered, None
        assert gathered is not None, "no batch has passed in training mode"
        return gathered

    @torch.no_grad()
    def update(self, statistics: CodeStatistics) -> None:
        """Move each code towards the mean of its vectors, and replace dead ones.

        Once an optimizer step, with the statistics of all its batches, on all processes.
        """
        n_codes, total = len(self.codebook), statistics.counts.sum()
        used, sums = statistics.counts / total, statistics.sums / total
        self.shares.lerp_(used, 1 - self._decay)
        pull = (1 - self._decay) / self.shares.clamp(min=torch.finfo(torch.float32).tiny)
        self.codebook += pull[:, None] * (sums - used[:, None] * self.codebook)
        dead = self.shares < _DEAD / n_codes
        self.codebook.copy_(torch.where(dead[:, None], statistics.candidates, self.codebook))
        # As if evenly used so far: time to prove itself.
        self.shares.masked_fill_(dead, 1 / n_codes)

    def _nearest(self, vectors: Float[Tensor, "B D h w"]) -> Int[Tensor, "B h w"]:
        with torch.autocast(vectors.device.type, enabled=False):  # distances of near codes drown in bfloat16
            products = torch.einsum("bdhw,kd->bkhw", vectors, self.codebook)
            return (self.codebook.square().sum(1)[:, None, None] - 2 * products).argmin(1)

    @torch.no_grad()
    def _gather(self, vectors: Float[Tensor, "B D h w"], codes: Int[Tensor, "B h w"]) -> None:
        new = CodeStatistics.of(vectors.movedim(1, -1).flatten(0, 2), codes.flatten(), len(self.codebook))
        if self._gathered is not None:
            pairs = zip(vars(self._gathered).values(), vars(new).values(), strict=True)
            new = CodeStatistics(*map(torch.stack, pairs)).merged()
        self._gathered = new


def look_up(codebook: Float[Tensor, "K D"], codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B D h w"]:
    """The vectors of codes."""
    return F.embedding(codes, codebook).movedim(-1, 1)
