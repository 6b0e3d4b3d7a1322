"""Checkpoints: model, optimizer, step, averages, each a safetensors or JSON file in a folder that appears whole.

Each holds the checksums of its files. Those of format 1, which held none, are read too.
"""

import json
import logging
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from qkv.errors import QkvError, one_line
from qkv.files import CHECKSUMS, atomic_folder, find_damage, remove_folder, write_tensors
from qkv.models.weights import get_weights, set_weights

_FORMAT = 2
_MODEL, _OPTIMIZER, _AVERAGE = "model.safetensors", "optimizer.safetensors", "average.safetensors"
_PROGRESS = "progress.json"
_NAME = re.compile(r"step-(\d{8,})")

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where training is.

    Attributes:
        step: optimizer steps taken.
        epoch: of the next batch.
        index: of the next batch in its epoch.
        seconds: spent training.
        scores: after each step that was validated.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    seconds: float = 0.0
    scores: dict[int, float] = field(default_factory=dict)

    @property
    def best_step(self) -> int | None:
        """The step with the highest score, the earliest of equals."""
        return max(self.scores, key=lambda step: (self.scores[step], -step), default=None)

    def validations_since_best(self) -> int:
        """How many validations the best one lies back."""
        return sum(step > (self.best_step or 0) for step in self.scores)


class Checkpoints:
    """The checkpoints of one run: the newest, and the `keep_best` with the highest scores."""

    def __init__(self, folder: Path, keep_best: int) -> None:
        self.folder, self.keep_best = folder, keep_best

    def path(self, step: int) -> Path:
        """The folder of one checkpoint."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, in order; it may be damaged. Whatever else lies in the folder is none."""
        named = [(path, int(name[1])) for path in self.folder.glob("step-*") if (name := _NAME.fullmatch(path.name))]
        return sorted(step for path, step in named if path == self.path(step) and path.is_dir() and any(path.iterdir()))

    def newest(self) -> int | None:
        """The newest step whose checkpoint is whole; a warning names those that are not. None if there is none.

        Raises:
            QkvError: there are only damaged ones.
        """
        steps = self.steps()
        for step in reversed(steps):
            if not (fault := self._damage(step)):
                return step
            _log.warning("%s is damaged (%s): training goes on from the one before it", self.path(step), fault)
        if steps:
            raise QkvError(f"{self.folder} holds only damaged checkpoints: restore one, or remove the folder to begin "
                           "again")  # fmt: skip
        return None

    def best(self, progress: Progress) -> list[int]:
        """Steps of the kept checkpoints with the highest scores, best first."""
        scored = [step for step in self.steps() if step in progress.scores]
        return sorted(scored, key=lambda step: -progress.scores[step])[: self.keep_best]

    def save(
        self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor] | None
    ) -> None:
        """Write a checkpoint, then remove those that are neither newest nor among the best."""
        with atomic_folder(self.path(progress.step), sealed=True) as folder:
            write_tensors(folder / _MODEL, get_weights(model))
            write_tensors(folder / _OPTIMIZER, _optimizer_tensors(model, optimizer))
            if average is not None:
                write_tensors(folder / _AVERAGE, average)
            (folder / _PROGRESS).write_text(json.dumps({"format": _FORMAT, **asdict(progress)}), encoding="utf-8")
        self.remove_others(progress)

    def remove_others(self, progress: Progress) -> None:
        """Remove the checkpoints that are neither the newest nor among the best; later ones, if damaged, stay."""
        for step in {*self.steps()} - {*self.best(progress)}:
            if step < progress.step:
                remove_folder(self.path(step))

    def load(
        self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor] | None
    ) -> Progress:
        """Put all back to where it was after `step`; QkvError if that does not fit the model or the configuration."""
        path = self.path(step)
        device = str(next(model.parameters()).device)
        set_weights(model, load_file(path / _MODEL, device=device), str(path))
        _load_optimizer(model, optimizer, load_file(path / _OPTIMIZER, device=device))
        if average is not None:
            if not (path / _AVERAGE).exists():
                raise QkvError(f"{path} holds no moving average, but training.ema is set")
            saved = load_file(path / _AVERAGE, device=device)
            for name, weight in average.items():
                weight.copy_(saved[name])
        return _read_progress(path)[0]

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights to use from a checkpoint: the moving average where there is one."""
        path = self.path(step)
        average = path / _AVERAGE
        return load_file(average if average.exists() else path / _MODEL)

    def without_damaged(self, steps: list[int]) -> list[int]:
        """Those of the steps whose checkpoint is whole; a warning names the others."""
        faults = {step: self._damage(step) for step in steps}
        for step, fault in faults.items():
            if fault:
                _log.warning("%s is damaged (%s): the average does without it", self.path(step), fault)
        return [step for step in steps if not faults[step]]

    def _damage(self, step: int) -> str:
        """What is wrong with a checkpoint; empty if nothing is."""
        path = self.path(step)
        if fault := find_damage(path):
            return fault
        try:
            progress, format_ = _read_progress(path)
            for file in (_MODEL, _OPTIMIZER):
                with safe_open(path / file, "pt"):  # checks that the file is as long as its header says
                    pass
        except (OSError, SafetensorError) as error:
            return one_line(error)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return f"{_PROGRESS} cannot be read"
        if format_ >= _FORMAT and not (path / CHECKSUMS).exists():
            return f"{CHECKSUMS} is missing"
        return "" if progress.step == step else f"it is of step {progress.step}"

    def averaged_weights(self, steps: list[int]) -> dict[str, Tensor]:
        """The mean of several checkpoints' weights (Vaswani et al. 2017, section 6.1)."""
        total = self.weights(steps[0])
        for step in steps[1:]:
            for name, weight in self.weights(step).items():
                total[name] += weight
        return {name: weight / len(steps) for name, weight in total.items()}


def _read_progress(path: Path) -> tuple[Progress, int]:
    """What progress.json tells, and its format."""
    data = json.loads((path / _PROGRESS).read_bytes())
    format_ = data.pop("format", 1)
    return Progress(**{**data, "scores": {int(step): score for step, score in data["scores"].items()}}), format_


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for path, tensor in tensors.items():
        name, _, key = path.rpartition("/")
        parameter = parameters[name]
        # Files hold contiguous tensors, but a fused optimizer walks its state in the order of the weights.
        state = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        optimizer.state[parameter][key] = state
