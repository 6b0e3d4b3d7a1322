"""How well pictures and captions find each other among others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qkv.data.captions.data import CaptionBatch
from qkv.data.randomness import derive_seed, permute
from qkv.systems.scorer.pipeline import Scorer


@dataclass(frozen=True)
class Pairs:
    """Pictures and a caption of each, in the shared space."""

    images: Float[Tensor, "N E"]
    captions: Float[Tensor, "N E"]
    pictures: Int[Tensor, "N"]  # a number for each picture, the same wherever it is shown
    tokens: Int[Tensor, "N T"]  # of the captions, padded alike

    @classmethod
    def of(cls, scorer: Scorer, batch: CaptionBatch) -> "Pairs":
        """A batch of pictures, not of codes, as a scorer sees it."""
        assert batch.images is not None
        captions = scorer.embed_tokens(batch.captions, batch.lengths)
        return cls(scorer.embed_images(batch.images), captions, batch.pictures, batch.captions)

    @classmethod
    def joined(cls, parts: Iterable["Pairs"]) -> "Pairs":
        """All of several sets, one at least."""
        return cls(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))

    def chosen(self, rows: Int[Tensor, "C"]) -> "Pairs":
        """Some of them."""
        return Pairs(*(part[rows] for part in vars(self).values()))

    @property
    def right(self) -> Bool[Tensor, "N N"]:
        """Which captions are right for which pictures (`belong`)."""
        return belong(self.pictures, self.tokens)


def report(pairs: Pairs, candidates: int, seed: int) -> tuple[float, float]:
    """How often the best of the candidates is right (accuracy at 1): a caption for a picture; a picture for a caption.

    From 0 to 1. There are so many candidates, or all pairs if there are fewer; the seed says who stands among whom.
    """
    total = len(pairs.pictures)
    captions = pictures = 0
    for rows, new in candidate_sets(total, candidates, seed):
        here = pairs.chosen(rows)
        cosines, right = here.images @ here.captions.T, here.right
        captions += int(finds(cosines, right)[:new].sum())
        pictures += int(finds(cosines.T, right.T)[:new].sum())
    return captions / total, pictures / total


def candidate_sets(n_pairs: int, size: int, seed: int) -> Iterator[tuple[Int[Tensor, "C"], int]]:
    """Sets of pairs, of one size, the same at each time; and how many of each are new.

    Every pair is new once, at the beginning of its set; where the last set is not full, pairs of the first fill it.
    """
    size = min(size, n_pairs)
    order = torch.from_numpy(permute(np.arange(n_pairs), n_pairs, derive_seed(seed, "candidates")))
    for start in range(0, n_pairs, size):
        yield order[(start + torch.arange(size)) % n_pairs], min(size, n_pairs - start)


def belong(pictures: Int[Tensor, "B"], captions: Int[Tensor, "B T"]) -> Bool[Tensor, "B B"]:
    """Which captions (columns) are right for a picture (rows): those that it has in any of these pairs."""
    same_picture = pictures[:, None] == pictures
    same_caption = (captions[:, None] == captions).all(dim=2)
    return same_picture.float() @ same_caption.float() > 0


def finds(scores: Float[Tensor, "B C"], right: Bool[Tensor, "B C"]) -> Bool[Tensor, "B"]:
    """Which rows score one that is right above all that are wrong; a tie is no find."""
    best_right, best_wrong = (scores.masked_fill(~which, -torch.inf).amax(dim=1) for which in (right, ~right))
    return best_right > best_wrong
