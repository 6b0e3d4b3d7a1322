"""Checkpoints: model, optimizer, step, averages, each a safetensors or JSON file in a folder that appears whole."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from qkv.errors import QkvError
from qkv.files import atomic_folder
from qkv.models.weights import get_weights, set_weights


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
        """Steps that have a checkpoint, in order."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def best(self, progress: Progress) -> list[int]:
        """Steps of the kept checkpoints with the highest scores, best first."""
        scored = [step for step in self.steps() if step in progress.scores]
        return sorted(scored, key=lambda step: -progress.scores[step])[: self.keep_best]

    def save(
        self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor] | None
    ) -> None:
        """Write a checkpoint, then remove those that are neither newest nor among the best."""
        with atomic_folder(self.path(progress.step)) as folder:
            _write(folder / "model.safetensors", get_weights(model))
            _write(folder / "optimizer.safetensors", _optimizer_tensors(model, optimizer))
            if average is not None:
                _write(folder / "average.safetensors", average)
            (folder / "progress.json").write_text(json.dumps(asdict(progress)))
        for step in {*self.steps()} - {progress.step, *self.best(progress)}:
            shutil.rmtree(self.path(step))

    def load(
        self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor] | None
    ) -> Progress:
        """Put all back to where it was after `step`; QkvError if that does not fit the model or the configuration."""
        path = self.path(step)
        device = str(next(model.parameters()).device)
        set_weights(model, load_file(path / "model.safetensors", device=device), str(path))
        _load_optimizer(model, optimizer, load_file(path / "optimizer.safetensors", device=device))
        if average is not None:
            if not (path / "average.safetensors").exists():
                raise QkvError(f"{path} holds no moving average, but training.ema is set")
            saved = load_file(path / "average.safetensors", device=device)
            for name, weight in average.items():
                weight.copy_(saved[name])
        data = json.loads((path / "progress.json").read_text())
        return Progress(**{**data, "scores": {int(step): score for step, score in data["scores"].items()}})

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights to use from a checkpoint: the moving average where there is one."""
        path = self.path(step)
        average = path / "average.safetensors"
        return load_file(average if average.exists() else path / "model.safetensors")

    def averaged_weights(self, steps: list[int]) -> dict[str, Tensor]:
        """The mean of several checkpoints' weights (Vaswani et al. 2017, section 6.1)."""
        total = self.weights(steps[0])
        for step in steps[1:]:
            for name, weight in self.weights(step).items():
                total[name] += weight
        return {name: weight / len(steps) for name, weight in total.items()}


def _write(file: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


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
