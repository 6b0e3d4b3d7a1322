"""Classifier-free guidance: away from what the model would write unasked (Ho & Salimans 2022, section 3.2)."""

import math
from dataclasses import dataclass
from typing import Generic

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.errors import QkvError
from qkv.generation.generate import Decode, State


@dataclass
class GuidedState(Generic[State]):
    """Rows that know their condition and, behind them in the same order, their twins that do not.

    Both halves run as one batch: where decoding waits for the weights to be read, the twins cost next to nothing.

    Attributes:
        state: what the model's `start` returned for 2 N inputs.
        rows: N.
    """

    state: State
    rows: int

    def reorder(self, rows: Int[Tensor, "M"]) -> None:
        """Keep these rows and their twins, in this order; a row may be repeated or left out."""
        self.state.reorder(torch.cat([rows, rows + self.rows]))
        self.rows = len(rows)


@dataclass(frozen=True)
class Guided(Generic[State]):
    """A model's step with guidance, for `generate`; both halves read the same tokens.

    The logits are those without the condition plus `scale` times what the condition adds to them (equation 6, whose w
    is scale - 1). The probabilities and scores of hypotheses are the guided ones.

    Attributes:
        decode: the model's own step.
        scale: 0 ignores the condition, 1 changes nothing, more follows it more closely at the cost of variety.
    """

    decode: Decode[State]
    scale: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale < math.inf:
            raise QkvError(f"the scale of guidance must be a number from 0 up, not {self.scale}; 1 is no guidance")

    def __call__(self, tokens: Int[Tensor, "N T"], state: GuidedState[State]) -> Float[Tensor, "N V"]:
        """Append T tokens to each row's past and to its twin's; guided logits of the token after the last."""
        conditional, unconditional = self.decode(tokens.repeat(2, 1), state.state).float().chunk(2)
        # Written from this end, so that a scale of 1 gives the model's own logits exactly.
        return conditional + (self.scale - 1) * (conditional - unconditional)
