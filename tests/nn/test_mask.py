"""Sparse masks against their definition, one pair of positions at a time."""

import itertools

import pytest
import torch

from qkv.nn import sparse_mask


def squared_neighbours(query: int, grid: int, kernel: int) -> set[int]:
    """Cells under a kernel centred on a cell, in a picture whose rows are glued end to end."""
    reach = kernel // 2
    steps = itertools.product(range(-reach, 1), range(-reach, reach + 1))
    return {query + down * grid + right for down, right in steps}


def sees(pattern: str, query: int, key: int, text: int, grid: int, kernel: int) -> bool:
    if key > query:
        return False
    if key < text:
        return True
    query, key = query - text, key - text
    if pattern == "row":
        return key in range(query - grid, query + 1)
    if pattern == "column":
        return key % grid == query % grid
    return key in squared_neighbours(query, grid, kernel)


@pytest.mark.parametrize("pattern", ["row", "column", "convolution"])
@pytest.mark.parametrize(
    ("text", "grid", "kernel"), [(6, 4, 3), (1, 5, 5), (3, 7, 3), (2, 4, 11), (0, 6, 1), (2, 1, 3)]
)
def test_who_sees_whom(pattern, text: int, grid: int, kernel: int):
    mask = sparse_mask(pattern, text, grid, kernel)
    length = text + grid**2
    expected = [[sees(pattern, query, key, text, grid, kernel) for key in range(length)] for query in range(length)]
    assert mask.tolist() == expected


def seen(pattern, cell: int) -> list[int]:
    """What one cell of the paper's example sees: six text tokens, a grid of four by four, a kernel of three."""
    return (sparse_mask(pattern, 6, 4, 3)[6 + cell, 6:].nonzero()[:, 0]).tolist()


def test_the_example_of_the_paper():
    """Figure 11: row attention reaches back five tokens, the last of which is in the row above, in the same column."""
    assert seen("row", 10) == [6, 7, 8, 9, 10]
    assert seen("column", 10) == [2, 6, 10]
    assert seen("convolution", 10) == [5, 6, 7, 9, 10]
    assert seen("convolution", 8) == [3, 4, 5, 7, 8]  # at the left side it goes on at the right, a row further up
    assert seen("row", 2) == [0, 1, 2]


@pytest.mark.parametrize("pattern", ["row", "column", "convolution"])
def test_every_token_sees_itself_and_all_of_the_text(pattern):
    mask = sparse_mask(pattern, 3, 4, 3)
    assert mask.diagonal().all()
    assert mask[3:, :3].all()
    assert torch.equal(mask, mask.tril())


def test_two_layers_of_row_and_column_reach_the_whole_past():
    """What sparse attention rests on (Child et al. 2019, section 4.2): any earlier token is two steps away."""
    row, column = (sparse_mask(pattern, 0, 5, 3).float() for pattern in ("row", "column"))
    assert ((row @ column) > 0).equal(torch.ones(25, 25).tril() > 0)
