"""What a system offers to the training loop."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Batch(Protocol):
    """What the trainer needs to know of a batch."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        ...


class Task(Protocol):
    """A model with its data, loss and metrics.

    The trainer moves batches to its device, where the model sits already.

    Attributes:
        unit: what throughput counts, for example "tokens"; a key of `denominators`.
        score: the metric in `evaluate`'s answer that is best when highest.
    """

    unit: str
    score: str

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch; a pure function of seed and epoch."""
        ...

    def batch(self, epoch: int, index: int) -> Batch:
        """One batch; a pure function of seed, epoch and index."""
        ...

    def denominators(self, batch: Any) -> dict[str, float]:
        """How much of each thing the batch holds: target tokens, images, boxes."""
        ...

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Sums over the batch, under names of `denominators`; the loss is the sum of their quotients."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the model as it is; includes `loss` and the `score`."""
        ...

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory that works on raw input.

        Args:
            folder: appears whole, or not at all.
            weights: as `get_weights(model)` gives them.
            facts: what training knows for the model card: steps, scores, hours.
        """
        ...


@runtime_checkable
class StepAware(Protocol):
    """What a task offers besides if something in it follows the steps: a weight of the loss, or a codebook."""

    def check_length(self, max_steps: int) -> None:
        """Called before training; warns of what will not have come to its end after so many steps."""
        ...

    def begin_step(self, step: int) -> None:
        """Called before the losses of optimizer step `step`, counted from 1."""
        ...

    def end_step(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Called once all batches of the step have passed and the optimizer has changed the weights.

        Args:
            gather: stacks a tensor of the same shape from every process, so that all of them can do the same.
        """
        ...

    def step_metrics(self) -> dict[str, float]:
        """What is worth watching beside the loss, of the steps since the last call."""
        ...
