"""The Fréchet distance of two sets of features (Heusel et al. 2017)."""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(features: Float[Tensor, "N D"], others: Float[Tensor, "M D"]) -> float:
    """How far apart two sets of feature vectors are, each taken for a sample of a Gaussian; 0 if these are the same.

    Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", equation 6:
    |m1 - m2|² + Tr(C1 + C2 - 2 (C1 C2)^½), with means m and covariances C. Each set has two rows at least. Only what is
    computed with the features of one network from as many pictures can be compared, for it falls as there are more.
    """
    x, y = features.double(), others.double()
    first, second = _covariance(x), _covariance(y)
    # C1 C2 has the eigenvalues of C1^½ C2 C1^½, which is symmetric: no square root of a general matrix is needed.
    root = _square_root(first)
    product = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    gap = (x.mean(0) - y.mean(0)).square().sum()
    # Rounding may leave a little less than nothing of two sets that are the same.
    return max((gap + first.trace() + second.trace() - 2 * product).item(), 0.0)


def _covariance(x: Float[Tensor, "N D"]) -> Float[Tensor, "D D"]:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def _square_root(matrix: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """Of a symmetric matrix without negative eigenvalues but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
