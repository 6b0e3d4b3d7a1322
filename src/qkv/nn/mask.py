"""Attention masks. One polarity everywhere: True = may attend."""

from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SparsePattern = Literal["row", "column", "convolution"]


def padding_mask(lengths: Int[Tensor, "B"], length: int) -> Bool[Tensor, "B 1 1 S"]:
    """Mask that hides the padding behind each sequence.

    Args:
        lengths: number of real tokens of each sequence.
        length: padded length S.

    Returns:
        True at real tokens; broadcasts over heads and query positions.
    """
    return (torch.arange(length, device=lengths.device) < lengths[:, None])[:, None, None, :]


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """Mask that lets each position see itself and what came before (section 3.2.3).

    The queries are the *last* of the keys, so the mask stays right when earlier keys come from a cache.

    Args:
        queries: number of query positions T.
        keys: number of key positions S, at least T.
        device: where to create the mask.
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(diagonal=keys - queries)


def sparse_mask(pattern: SparsePattern, text: int, grid: int, kernel: int) -> Bool[Tensor, "T T"]:
    """Causal mask over text and, behind it, a square of image tokens row by row (Ramesh et al. 2021, appendix B.1).

    An image token sees all the text, itself, and of the image tokens before it some: with `row` the last `grid`, so
    back to the one above it; with `column` those above it; with `convolution` those in a square around it, which goes
    on in the next row where it leaves the grid at a side (figure 11).

    Args:
        pattern: what image tokens see of the image.
        text: number of text tokens; T is text + grid².
        grid: image tokens on a side of the square.
        kernel: side of the square that `convolution` looks at, odd.
    """
    cells = torch.arange(grid**2)
    back = cells[:, None] - cells
    reach = kernel // 2
    seen = {
        "row": back <= grid,
        "column": back % grid == 0,
        "convolution": (back <= reach * (grid + 1)) & ((back + reach) % grid < kernel),
    }
    mask = causal_mask(text + grid**2, text + grid**2)
    mask[text:, text:] &= seen[pattern]
    return mask
