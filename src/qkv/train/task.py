"""What a system offers to the training loop."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from torch import Tensor, nn

from qkv.reporter import SILENT, Reporter


class Data(Protocol):
    """Where training batches come from."""

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch; a pure function of seed and epoch."""
        ...

    def batch(self, epoch: int, index: int) -> Any:
        """One batch, a frozen dataclass of tensors on the CPU; a pure function of seed, epoch and index."""
        ...


Model = TypeVar("Model", bound=nn.Module)
Source = TypeVar("Source", bound=Data)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a task is created.

    Attributes:
        folder: the run's, for what is derived from the data and for pictures to look at while it trains.
        seed: of held-out data, data order and augmentation.
        initial: a model directory of the same system, whose weights to start from.
    """

    folder: Path
    seed: int = 1
    reporter: Reporter = SILENT
    initial: Path | None = None


class Task(ABC, Generic[Model, Source]):
    """A model with its data, loss and metrics. What most tasks have no use for does nothing unless overridden.

    Attributes:
        Config: the dataclass of a recipe's sections but `training`.
        unit: what throughput counts, for example "tokens"; a key of `denominators`.
        score: the metric in `evaluate`'s answer that is best when highest.
        model: what is trained; the trainer moves it to its device.
        data: where batches come from.
    """

    Config: ClassVar[type[Any]]
    unit: ClassVar[str]
    score: ClassVar[str]
    model: Model
    data: Source

    @classmethod
    @abstractmethod
    def create(cls, config: Any, setting: Setting) -> Self:
        """Prepare the data, report on it, and build a model.

        Raises:
            QkvError: the data cannot be used, or the initial model does not fit the configuration.
        """

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch; a pure function of seed and epoch."""
        return self.data.n_batches(epoch)

    def batch(self, epoch: int, index: int) -> Any:
        """One batch; a pure function of seed, epoch and index."""
        return self.data.batch(epoch, index)

    @abstractmethod
    def denominators(self, batch: Any) -> dict[str, float]:
        """How much of each thing the batch holds: target tokens, images, boxes."""

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Sums over the batch, under names of `denominators`; the loss is the sum of their quotients."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the model as it is; includes `loss` and the `score`."""

    @abstractmethod
    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory that works on raw input, whole or not at all.

        `facts` are what training knows for the model card: steps, scores, hours.
        """

    def check_length(self, max_steps: int) -> None:
        """Called before training; warns of what will not have come to its end after so many steps."""

    def begin_step(self, step: int) -> None:
        """Called before the losses of optimizer step `step`, counted from 1."""

    def end_step(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Called once all batches of the step have passed and the optimizer has changed the weights.

        `gather` stacks a tensor of the same shape from every process, so that all of them can do the same.
        """

    def step_metrics(self) -> dict[str, float]:
        """What is worth watching beside the loss, of the steps since the last call."""
        return {}
