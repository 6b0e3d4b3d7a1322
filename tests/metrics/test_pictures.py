"""Likeness of pictures against plain loops that follow the definitions."""

import math

import numpy as np
import pytest
import torch

from qkv.metrics.pictures import psnr, ssim


def pair(*shape: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.rand(shape)
    return x, (x + noise * torch.randn(shape)).clamp(0, 1)


def test_psnr_by_its_definition() -> None:
    x, y = pair(3, 2, 5, 7)
    for ours, a, b in zip(psnr(x, y).tolist(), x.double().numpy(), y.double().numpy()):
        assert ours == pytest.approx(10 * math.log10(1 / np.mean((a - b) ** 2)))


def test_psnr_of_known_errors() -> None:
    black = torch.zeros(1, 1, 4, 4)
    assert psnr(black, black + 0.1).item() == pytest.approx(20)
    assert psnr(black, black + 1).item() == pytest.approx(0)
    assert psnr(black, black).item() == pytest.approx(100)


def by_loops(a: np.ndarray, b: np.ndarray, radius: int) -> float:
    """Wang et al. 2004: equations 13 to 16, at each place where the window fits in."""
    offsets = range(-radius, radius + 1)
    window = np.array([[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in offsets] for i in offsets])
    window /= window.sum()
    found = []
    for row in range(radius, a.shape[0] - radius):
        for column in range(radius, a.shape[1] - radius):
            place = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
            x, y = a[place], b[place]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            light, rest = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4), (2 * cov + 9e-4) / (vx + vy + 9e-4)
            found.append(light * rest)
    return float(np.mean(found))


@pytest.mark.parametrize(("sides", "radius"), [((13, 16), 5), ((8, 20), 3), ((1, 4), 0)])
def test_ssim_by_its_definition(sides: tuple[int, int], radius: int) -> None:
    x, y = pair(2, 3, *sides)
    for ours, a, b in zip(ssim(x, y).tolist(), x.double().numpy(), y.double().numpy()):
        assert ours == pytest.approx(np.mean([by_loops(p, q, radius) for p, q in zip(a, b)]))


def test_ssim_is_1_for_the_same_and_near_0_for_what_has_nothing_in_common() -> None:
    x, y = torch.rand(2, 1, 1, 64, 64)
    assert ssim(x, x).item() == pytest.approx(1)
    assert abs(ssim(x, y).item()) < 0.1
