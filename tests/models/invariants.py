"""What holds of every model that translates, whatever its weights."""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def check_no_position_sees_a_later_token(
    model: Any, source: Tensor, lengths: Tensor, target: Tensor, vocabulary: int
) -> None:
    before = model(source, lengths, target)
    for position in range(1, 9):
        changed = target.clone()
        changed[:, position] = 4 + (changed[:, position] - 3) % (vocabulary - 4)
        after = model(source, lengths, changed)
        assert torch.equal(after[:, :position], before[:, :position])
        assert not torch.equal(after[:, position], before[:, position])


@torch.no_grad()
def check_every_source_token_is_read(
    model: Any, source: Tensor, lengths: Tensor, target: Tensor, vocabulary: int
) -> None:
    before = model(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        for position in range(length):
            changed = source.clone()
            changed[row, position] = 4 + (changed[row, position] - 3) % (vocabulary - 4)
            after = model(changed, lengths, target)
            assert (after[row] - before[row]).abs().max() > 1e-4
