"""Positions against the paper's formula, written with numpy."""

import numpy as np
import pytest
import torch

from qkv.nn import LearnedPositions, SinusoidalPositions, make_positions, sinusoids


@pytest.mark.parametrize("d_model", [2, 8, 64])
def test_interleaved_sinusoids_are_those_of_the_paper(d_model: int):
    expected = np.zeros((700, d_model))
    for position in range(700):
        for i in range(d_model // 2):
            angle = position / 10000 ** (2 * i / d_model)
            expected[position, 2 * i], expected[position, 2 * i + 1] = np.sin(angle), np.cos(angle)
    np.testing.assert_allclose(sinusoids(700, d_model).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("d_model", [2, 8, 64])
def test_sinusoids_in_halves_are_those_of_tensor2tensor(d_model: int):
    half = d_model // 2
    timescales = np.exp(np.arange(half) * -(np.log(1.0 / 1e-4) / max(half - 1, 1)))
    angles = np.arange(700)[:, None] * timescales[None]
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(sinusoids(700, d_model, "halves").numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_the_table_grows_and_start_moves_the_window(layout):
    positions = SinusoidalPositions(8, layout)
    expected = sinusoids(3000, 8, layout)
    for length, start in ((5, 0), (1, 300), (512, 0), (513, 0), (1, 2000), (7, 1500), (2, 2998)):
        assert torch.equal(positions(length, start), expected[start : start + length])
    assert not positions.state_dict()  # what a formula gives is not saved


def test_a_grown_table_keeps_its_type():
    positions = SinusoidalPositions(8).to(torch.bfloat16)
    assert positions(2000).dtype == torch.bfloat16


def test_learned_positions_end_where_their_table_ends():
    positions = LearnedPositions(8, 10)
    assert torch.equal(positions(4, 6), positions.table[6:])
    with pytest.raises(ValueError, match="11 is beyond the 10"):
        positions(4, 7)


def test_kinds():
    assert torch.equal(make_positions("sinusoidal", 8, 5)(9), sinusoids(9, 8))
    assert torch.equal(make_positions("sinusoidal_halves", 8, 5)(9), sinusoids(9, 8, "halves"))
    assert make_positions("learned", 8, 5)(5).shape == (5, 8)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even d_model, not 7"):
        sinusoids(4, 7)
