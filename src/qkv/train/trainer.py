"""The training loop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from qkv.errors import QkvError
from qkv.models.weights import get_weights
from qkv.tasks.task import Task
from qkv.train.checkpoint import Checkpoints, Progress
from qkv.train.config import TrainingConfig
from qkv.train.host import Interruption, choose_device, interruptible, keep_freed_memory
from qkv.train.log import RunLog, draw_learning_curve
from qkv.train.optimizer import WeightAverage, learning_rate, make_optimizer, using_weights


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        step: the last optimizer step.
        reason: "finished", "stopped early" or "interrupted".
        score: the validation score of the exported model; None before the first validation.
        signal: the signal that interrupted it.
    """

    step: int
    reason: str
    score: float | None
    signal: int | None = None


class Trainer:
    """Trains a task in a run folder, from its newest checkpoint on if it has one.

    Every step is a pure function of the checkpoint before it: data order and dropout follow from (seed, step), so a run
    that was killed and continued ends with the same weights, bit for bit, as one that was not.

    Args:
        task: what to train.
        config: how.
        run: the run's folder, where checkpoints, metrics and the exported model go.
        seed: of dropout.
        console: where progress is shown.
    """

    def __init__(self, task: Task, config: TrainingConfig, run: Path, seed: int, console: Console) -> None:
        keep_freed_memory()
        self.task, self.config, self.run, self.seed, self.console = task, config, run, seed, console
        self.device = choose_device(config.device)
        task.model.to(self.device)
        self.optimizer = make_optimizer(task.model, config)
        self.average = WeightAverage(task.model, config.ema) if config.ema else None
        self.checkpoints = Checkpoints(run / "checkpoints", config.keep_best)
        self.progress = Progress()
        self._losses: Callable[[Any], dict[str, Tensor]] = (
            torch.compile(task.losses, dynamic=True) if config.compile else task.losses
        )
        if steps := self.checkpoints.steps():
            self.progress = self.checkpoints.load(steps[-1], task.model, self.optimizer, self._averaged())

    def train(self) -> Outcome:
        """Train to the end, to an early stop, or to an interruption; in each case the model directory is up to date."""
        config, progress = self.config, self.progress
        log = RunLog(
            self.run,
            self.console,
            first_step=progress.step,
            max_steps=config.max_steps,
            unit=self.task.unit,
            tensorboard=config.tensorboard,
        )
        with interruptible() as interruption, log:
            reason = self._loop(log, interruption)
        if reason == "interrupted":
            if progress.step not in self.checkpoints.steps():
                self._save()
        else:
            self._export_average()
        if (self.run / "metrics.jsonl").stat().st_size:
            draw_learning_curve(self.run)
        best = progress.best_step
        return Outcome(progress.step, reason, None if best is None else progress.scores[best], interruption.signal)

    def _loop(self, log: RunLog, interruption: Interruption) -> str:
        config, progress = self.config, self.progress
        window = _Window()
        with _Batches(self.task, progress.epoch, progress.index) as batches:
            while progress.step < config.max_steps:
                if config.patience and progress.validations_since_best() >= config.patience:
                    return "stopped early"
                if interruption.signal is not None:
                    return "interrupted"
                step, begin = progress.step + 1, time.monotonic()
                loss, norm, units = self._step(step, [batches.next() for _ in range(config.accumulate)])
                progress.step, (progress.epoch, progress.index) = step, batches.position
                progress.seconds += time.monotonic() - begin
                window.add(loss, units)
                due = step % config.validate_every == 0 or step == config.max_steps
                if step % config.log_every == 0 or due:
                    rate = learning_rate(step, config)
                    log.training(step, self._checked(window.close(self.task.unit), step, norm, rate))
                if due:
                    self._validate(log)
                    window = _Window()  # validation is not training time
        return "finished"

    def _step(self, step: int, batches: list[Any]) -> tuple[Tensor, Tensor, float]:
        """One optimizer step on all batches as if they were one; returns loss, gradient norm and units seen."""
        config, model = self.config, self.task.model
        model.train()
        torch.manual_seed((self.seed << 32) + step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        totals: dict[str, float] = {}
        for batch in batches:
            for name, amount in self.task.denominators(batch).items():
                totals[name] = totals.get(name, 0.0) + amount
        loss_of_step = torch.zeros((), device=self.device)
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                sums = self._losses(_to(batch, self.device))
                loss = torch.stack([value / totals[name] for name, value in sums.items()]).sum()
            loss.backward()
            loss_of_step += loss.detach()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step)
        return loss_of_step, norm, totals[self.task.unit]

    def _checked(self, metrics: dict[str, float], step: int, norm: Tensor, rate: float) -> dict[str, float]:
        if not math.isfinite(metrics["loss"]):
            steps = self.checkpoints.steps()
            last = f"the last good checkpoint is {self.checkpoints.path(steps[-1])}" if steps else "no checkpoint yet"
            raise QkvError(
                f"the loss became {metrics['loss']} by step {step}; {last}; lower training.learning_rate or raise "
                f"training.warmup in {self.run / 'recipe.yaml'} and continue with: qkv train {self.run}"
            )
        return {**metrics, "learning_rate": rate, "gradient_norm": norm.item()}

    def _averaged(self) -> dict[str, Tensor] | None:
        return None if self.average is None else self.average.weights

    def _evaluate(self, weights: dict[str, Tensor] | None) -> dict[str, float]:
        with using_weights(self.task.model, weights), torch.no_grad():
            self.task.model.eval()
            return self.task.evaluate()

    def _validate(self, log: RunLog) -> None:
        """Validate, save a checkpoint, and export the model if it is the best so far."""
        progress = self.progress
        metrics = self._evaluate(self._averaged())
        progress.scores[progress.step] = metrics[self.task.score]
        log.validation(progress.step, metrics, self.task.score, max(progress.scores.values()))
        self._save()
        if progress.best_step == progress.step:
            self._export(self._averaged() or get_weights(self.task.model), metrics)

    def _save(self) -> None:
        self.checkpoints.save(self.progress, self.task.model, self.optimizer, self._averaged())

    def _export_average(self) -> None:
        """Average the best checkpoints, and export the result if it scores better than the best of them."""
        progress = self.progress
        best = self.checkpoints.best(progress)
        if len(best) < 2:
            return
        weights = {name: weight.to(self.device) for name, weight in self.checkpoints.averaged_weights(best).items()}
        metrics = self._evaluate(weights)
        score, single = metrics[self.task.score], progress.scores[best[0]]
        verdict = "kept" if score > single else "not kept"
        self.console.print(
            f"average of the {len(best)} best checkpoints: {self.task.score} {score:.2f}, "
            f"best single one {single:.2f}: {verdict}",
            highlight=False,
        )
        if score > single:
            progress.scores[progress.step] = score
            self._export(weights, metrics)

    def _export(self, weights: dict[str, Tensor], metrics: dict[str, float]) -> None:
        facts = {"step": self.progress.step, "hours": self.progress.seconds / 3600, "validation": metrics}
        self.task.export(self.run / "model", weights, facts)


class _Window:
    """Loss and throughput since the last report. Losses stay on the device until then."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._losses: list[Tensor] = []
        self._units = 0.0

    def add(self, loss: Tensor, units: float) -> None:
        self._losses.append(loss)
        self._units += units

    def close(self, unit: str) -> dict[str, float]:
        loss = torch.stack(self._losses).mean().item()
        now = time.monotonic()
        rate = self._units / (now - self._last)
        self._losses, self._units, self._last = [], 0.0, now
        return {"loss": loss, f"{unit}_per_second": rate}


class _Batches:
    """The task's batches in order, the next one prepared in a thread while the current one trains."""

    def __init__(self, task: Task, epoch: int, index: int) -> None:
        self.position = (epoch, index)
        self._task = task
        self._places = self._walk(epoch, index)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")

    def __enter__(self) -> "_Batches":
        self._next = self._submit()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def next(self) -> Any:
        """The next batch; `position` is then where the one after it stands."""
        batch, self.position = self._next.result()
        self._next = self._submit()
        return batch

    def _submit(self) -> Future[Any]:
        return self._pool.submit(lambda: next(self._places))

    def _walk(self, epoch: int, index: int) -> Iterator[tuple[Any, tuple[int, int]]]:
        while True:
            for index in range(index, self._task.n_batches(epoch)):  # noqa: B020
                yield self._task.batch(epoch, index), (epoch, index + 1)
            epoch, index = epoch + 1, 0


def _to(batch: Any, device: torch.device) -> Any:
    """A dataclass with its tensors moved to the device."""
    tensors = {f.name: value for f in dataclasses.fields(batch) if isinstance(value := getattr(batch, f.name), Tensor)}
    return dataclasses.replace(batch, **{name: value.to(device) for name, value in tensors.items()})
