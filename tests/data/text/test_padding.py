"""Rows of tokens as one tensor."""

import numpy as np
import pytest

from qkv.data.text.padding import pad, pad_captions
from qkv.data.text.tokenizer import PAD


def test_rows_are_padded_to_the_longest_or_to_a_length() -> None:
    rows = [[5, 6, 7], [], np.array([8], np.uint16)]
    assert pad(rows).tolist() == [[5, 6, 7], [PAD] * 3, [8, PAD, PAD]]
    assert pad(rows, 4).tolist() == [[5, 6, 7, PAD], [PAD] * 4, [8, PAD, PAD, PAD]]
    assert str(pad(rows).dtype) == "torch.int64"


@pytest.mark.parametrize(("rows", "lengths"), [([[1, 2, 3], [], [4]], [2, 0, 1]), ([[], []], [0, 0]), ([], [])])
def test_captions_are_cut_too(rows: list[list[int]], lengths: list[int]) -> None:
    padded, found = pad_captions(rows, 2)
    assert found.tolist() == lengths
    assert padded.tolist() == [[*row, PAD, PAD][:2] for row in rows]
    assert padded.shape == (len(rows), 2)
