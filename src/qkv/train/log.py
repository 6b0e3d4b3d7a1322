"""What a run reports while it trains: progress, metrics.jsonl, and TensorBoard on request."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from qkv.errors import QkvError
from qkv.files import atomic_file, unwritable
from qkv.json_text import json_text
from qkv.reporter import Reporter, duration
from qkv.train.config import TrainingConfig

_log = logging.getLogger(__name__)


class RunLog:
    """Reports of one run in its folder; `silent` ones go nowhere, as those of all processes but the first.

    Training goes on at `first_step`: later lines of an interrupted run are dropped from metrics.jsonl. The rate counts
    `unit`.
    """

    def __init__(
        self, run: Path, config: TrainingConfig, unit: str, first_step: int, reporter: Reporter, silent: bool
    ) -> None:
        self.reporter, self.unit, self.max_steps = reporter, unit, config.max_steps
        self.metrics = run / "metrics.jsonl"
        self._silent = silent
        if not silent:
            self._drop_lines_after(first_step)
        self._writer = _tensorboard_writer(run) if config.tensorboard and not silent else None
        self._best = self._status = ""
        self._validation: float | None = None  # seconds that the last one took
        reporter.progress("the first step", 0)

    def __enter__(self) -> Self:
        with self._writing():
            # Without a buffer, which would be written again, in vain, when the file is closed after a disk was full.
            self._file = Path(os.devnull if self._silent else self.metrics).open("ab", buffering=0)
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def training(self, step: int, metrics: dict[str, float]) -> None:
        """Report a step: `loss`, `learning_rate`, `gradient_norm`, `<unit>_per_second` and what the task adds."""
        self._write({"step": step, **metrics}, "train")
        rate = f"{self.unit}_per_second"
        added = metrics.keys() - {"loss", "learning_rate", "gradient_norm", rate}
        others = "".join(f"  {name} {metrics[name]:.3g}" for name in sorted(added))
        self._status = f"loss {metrics['loss']:.3f}{others}  {metrics[rate]:,.0f} {self.unit}/s{self._best}"
        self.step(step)

    def step(self, step: int) -> None:
        """Tell that a step is done; what was measured last stays to be seen."""
        self.reporter.progress("training", step, self.max_steps, self._status)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Tell that a validation goes on, and how long it will take, by the one before."""
        known, begin = self._validation, time.monotonic()
        self.reporter.progress("validating", 0, status="" if known is None else f"takes about {duration(known)}")
        yield
        self._validation = time.monotonic() - begin

    def validation(self, step: int, metrics: dict[str, float], score: str, best: float) -> None:
        """Report a validation, whose metrics are written as `validation_*`."""
        self._write({"step": step, **{f"validation_{name}": value for name, value in metrics.items()}}, "validation")
        self._best = f"  best {score} {best:.2f}"
        text = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self.reporter.say(f"step {step}  validation: {text}")

    def _write(self, record: dict[str, Any], group: str) -> None:
        with self._writing():
            line = json_text({name: _finite(value) for name, value in record.items()}, ascii_only=True)
            content = memoryview(f"{line}\n".encode())
            while content:
                content = content[self._file.write(content) :]
        if self._writer is not None:
            for name, value in record.items():
                if name != "step":
                    self._writer.add_scalar(f"{group}/{name.removeprefix('validation_')}", value, record["step"])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.metrics, error) from error

    def _drop_lines_after(self, step: int) -> None:
        if self.metrics.exists():
            kept = [line for line in read_records(self.metrics) if line["step"] <= step]
            with atomic_file(self.metrics) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def _finite(value: float) -> float | None:
    """The number, or nothing where it is none: a gradient may overflow for a step."""
    return value if math.isfinite(value) else None


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file, each with a `step`; a last line that a kill cut short is left out.

    So is any other line that is no record, which a warning tells.
    """
    records, damaged = [], 0
    *lines, _ = path.read_bytes().split(b"\n")
    for line in lines:
        try:
            record = json.loads(line)
            records.append({**record, "step": int(record["step"])})
        except (ValueError, LookupError, TypeError, RecursionError):
            damaged += 1
    if damaged:
        _log.warning("%s: damaged lines, %d in all, are left out", path, damaged)
    return records


def _tensorboard_writer(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise QkvError("training.tensorboard needs TensorBoard: pip install 'qkv[tensorboard]'") from error
    return SummaryWriter(str(run / "tensorboard"))
