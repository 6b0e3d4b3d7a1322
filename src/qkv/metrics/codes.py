"""How much of a codebook is in use, from how often each code occurs."""

import torch
from jaxtyping import Float
from torch import Tensor


def codebook_use(counts: Float[Tensor, "K"]) -> float:
    """Share of the codes that occur at all, from 0 to 1."""
    return (counts > 0).double().mean().item()


def perplexity(counts: Float[Tensor, "K"]) -> float:
    """How many codes would be used if all were used alike: the exponential of the entropy of their use."""
    shares = counts.double() / counts.sum()
    return torch.special.entr(shares).sum().exp().item()
