"""Distances of pictures against plain loops that follow the definitions."""

import math

import pytest
import torch

from qkv.metrics import distances
from qkv.metrics.distances import mean_pairwise_distance, nearest_distances, rms_distances


def pictures(n: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 4, 5), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    pairs = zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)
    return math.sqrt(sum((a / 255 - b / 255) ** 2 for a, b in pairs) / x.numel())


def test_each_two_pictures() -> None:
    x, y = pictures(4, 0), pictures(3, 1)
    for row, one in zip(rms_distances(x, y).tolist(), x):
        assert row == pytest.approx([distance(one, other) for other in y])


def test_a_copy_is_at_distance_0_and_black_at_1_from_white() -> None:
    x = pictures(50, 0)
    assert (rms_distances(x, x).diagonal() == 0).all()
    black = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    assert rms_distances(black, black + 255).item() == 1
    assert rms_distances(black, black + 1).item() == pytest.approx(1 / 255)


@pytest.mark.parametrize("at_once", [1, 130, 2**20])
def test_the_nearest_of_many_does_not_depend_on_how_they_are_cut(monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(distances, "_AT_ONCE", at_once)
    x, others = pictures(7, 0), pictures(9, 1)
    expected = [min(distance(one, other) for other in others) for one in x]
    for size in (1, 4, 100):
        assert nearest_distances(x, iter(others.split(size))).tolist() == pytest.approx(expected)
    assert nearest_distances(x, [others, x[2:3], others[:0]]).tolist()[2] == 0
    assert nearest_distances(x, []).isinf().all()


@pytest.mark.parametrize("at_once", [1, 130, 2**20])
def test_two_of_the_same_caption(monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(distances, "_AT_ONCE", at_once)
    x = pictures(5, 0)
    pairs = [distance(x[i], x[j]) for i in range(5) for j in range(i)]
    assert mean_pairwise_distance(x) == pytest.approx(sum(pairs) / 10)
    assert mean_pairwise_distance(x[:1].expand(3, -1, -1, -1)) == 0
