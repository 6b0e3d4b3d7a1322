"""Attention masks. One polarity everywhere: True = may attend."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


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
