"""How much of a codebook is in use."""

import torch
from jaxtyping import Float
from torch import Tensor


def codebook_use(counts: Float[Tensor, "K"]) -> float:
    """Share of the codes that occur at all, from 0 to 1.

    Args:
        counts: how often each code occurs.
    """
    return (counts > 0).double().mean().item()


def perplexity(counts: Float[Tensor, "K"]) -> float:
    """How many codes would be used if all were used alike: the exponential of the entropy of their use.

    Args:
        counts: how often each code occurs; at least one does.
    """
    shares = counts.double() / counts.sum()
    return torch.special.entr(shares).sum().exp().item()
