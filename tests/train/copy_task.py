"""A toy task for the trainer: reproduce the source. No files; a batch is a function of (seed, epoch, index)."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from qkv.model_directory import save_model
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.reporter import Reporter
from qkv.train.config import TrainingConfig
from qkv.train.distributed import World, join
from qkv.train.task import Setting, Task
from qkv.train.trainer import Trainer

VOCABULARY, LENGTH, BEGIN = 20, 8, 2


@dataclass(frozen=True)
class CopyBatch:
    """Random tokens, to be copied."""

    source: Tensor


@dataclass(frozen=True)
class CopySaved:
    """What config.json holds of it: nothing."""

    system: ClassVar[str] = "copy"


class CopyTask(Task):
    """Copy `LENGTH` random tokens; the score is the percentage of sequences copied without error, greedily decoded."""

    Config = TrainingConfig  # it has none of its own
    unit = "tokens"
    score = "accuracy"

    def __init__(self, seed: int = 0, batch_size: int = 32, dropout: float = 0.0, batches: int = 7) -> None:
        torch.manual_seed(seed)
        config = TranslatorConfig(d_model=32, n_heads=4, n_layers=2, d_ff=64, dropout=dropout)
        self.model = TranslatorModel(config, VOCABULARY)
        self.seed, self.batch_size, self.batches = seed, batch_size, batches

    @classmethod
    def create(cls, config: Any, setting: Setting) -> "CopyTask":
        return cls(setting.seed)

    def n_batches(self, epoch: int) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> CopyBatch:
        generator = torch.Generator().manual_seed(hash((self.seed, epoch, index)) % 2**63)
        return CopyBatch(torch.randint(4, VOCABULARY, (self.batch_size, LENGTH), generator=generator))

    def denominators(self, batch: CopyBatch) -> dict[str, float]:
        return {"tokens": batch.source.numel()}

    def losses(self, batch: CopyBatch) -> dict[str, Tensor]:
        begin = torch.full((len(batch.source), 1), BEGIN)
        logits = self.model(batch.source, self._lengths(batch.source), torch.cat([begin, batch.source[:, :-1]], 1))
        return {"tokens": F.cross_entropy(logits.flatten(0, 1), batch.source.flatten(), reduction="sum")}

    def evaluate(self) -> dict[str, float]:
        batch = self.batch(10**6, 0)
        state = self.model.start(batch.source, self._lengths(batch.source), LENGTH)
        token = torch.full((len(batch.source), 1), BEGIN)
        copied = []
        for _ in range(LENGTH):
            token = self.model.decode(token, state).argmax(-1, keepdim=True)
            copied.append(token)
        right = (torch.cat(copied, 1) == batch.source).all(1).float().mean().item()
        return {"loss": self.losses(batch)["tokens"].item() / batch.source.numel(), "accuracy": 100 * right}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        save_model(folder, CopySaved(), weights, {"facts.json": json.dumps(facts).encode()})

    @staticmethod
    def _lengths(source: Tensor) -> Tensor:
        return torch.full((len(source),), source.shape[1])


def trainer(run: Path, task: CopyTask | None = None, world: World | None = None, **settings: Any) -> Trainer:
    """A trainer for the copy task, quiet, in the given run folder."""
    defaults = {"max_steps": 10, "warmup": 2, "validate_every": 5, "device": "cpu"}
    config = TrainingConfig(**{**defaults, **settings})
    run.mkdir(exist_ok=True)
    return Trainer(task or CopyTask(), config, run, 3, Reporter(), world)


if __name__ == "__main__":  # a run of its own, to be killed or shared by several processes
    torch.set_num_threads(1)
    settings = json.loads(sys.argv[2])
    with join() as world:
        trainer(Path(sys.argv[1]), CopyTask(dropout=settings.pop("dropout")), world, **settings).train()
