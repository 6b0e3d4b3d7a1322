"""The Fréchet distance against NumPy's eigenvalues of the plain product, and for Gaussians whose answer is known."""

import numpy as np
import pytest
import torch

from qkv.metrics.fid import frechet_distance


def features(n: int, width: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=draw)
    return torch.randn(n, width, generator=draw) @ mixed + torch.randn(width, generator=draw)


def by_numpy(x: torch.Tensor, y: torch.Tensor) -> float:
    """Equation 6 as it stands: the square root of C1 C2, not symmetric, has the square roots of its eigenvalues."""
    a, b = x.double().numpy(), y.double().numpy()
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(c1 @ c2).astype(complex)).sum().real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * root)


@pytest.mark.parametrize(("n", "width"), [(200, 2), (300, 16), (10, 24)])
def test_equation_6(n: int, width: int) -> None:
    x, y = features(n, width, 0), features(n + 7, width, 1)
    assert frechet_distance(x, y) == pytest.approx(by_numpy(x, y), rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y))


def test_the_same_set_is_at_distance_0() -> None:
    for n in (5, 200):
        x = features(n, 12, 3)
        assert 0 <= frechet_distance(x, x.flip(0)) < 1e-6


def test_gaussians_of_known_distance() -> None:
    x = features(100, 6, 0)
    assert frechet_distance(x, x + 2) == pytest.approx(6 * 4, rel=1e-6)  # moved
    spread = x.double().var(0).sum().item()
    assert frechet_distance(x, 3 * (x - x.mean(0)) + x.mean(0)) == pytest.approx((3 - 1) ** 2 * spread, rel=1e-5)
