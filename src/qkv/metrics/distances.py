"""How far pictures are from one another, pixel by pixel: whether they are varied, and whether they are copies."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_AT_ONCE = 2**23  # numbers of pictures in float64, 64 MiB, which bounds the memory


def rms_distances(pictures: UInt8[Tensor, "N C H W"], others: UInt8[Tensor, "M C H W"]) -> Float[Tensor, "N M"]:
    """Root mean square of the differences between the pixels of each two pictures, from 0 (the same) to 1."""
    x, y = (part.flatten(1).double() for part in (pictures, others))
    # Squares of bytes are whole numbers far below 2^53, so that the products are exact: a copy is at distance 0.
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return (squares / x.shape[1]).sqrt() / 255


def nearest_distances(
    pictures: UInt8[Tensor, "N C H W"], batches: Iterable[UInt8[Tensor, "M C H W"]]
) -> Float[Tensor, "N"]:
    """The distance (`rms_distances`) of each picture to the nearest one of many others, infinite if there are none.

    These come in batches, which are read once, one at a time.
    """
    nearest = torch.full((len(pictures),), torch.inf, dtype=torch.float64)
    at_once = max(_AT_ONCE // max(pictures[:1].numel(), 1), 1)
    for batch in batches:
        if len(batch):
            for part, found in zip(pictures.split(at_once), nearest.split(at_once)):
                torch.minimum(found, rms_distances(part, batch).amin(1), out=found)
    return nearest


def mean_pairwise_distance(pictures: UInt8[Tensor, "N C H W"]) -> float:
    """The mean distance (`rms_distances`) of two different ones of two or more pictures, from 0 to 1."""
    parts = pictures.split(max(_AT_ONCE // pictures[:1].numel(), 1))
    # The diagonal, of distances of pictures to themselves, adds nothing.
    total = sum(rms_distances(part, other).sum() for part in parts for other in parts)
    return float(total) / (len(pictures) * (len(pictures) - 1))
