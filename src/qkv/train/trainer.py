"""The training loop."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qkv.errors import QkvError
from qkv.models.weights import get_weights
from qkv.reporter import Reporter
from qkv.runtime.device import all_cores, choose_device, to_device, use_threads
from qkv.train.batches import Batches
from qkv.train.checkpoint import Checkpoints, Progress
from qkv.train.config import TrainingConfig
from qkv.train.distributed import Lost, World
from qkv.train.host import Interruption, interruptible, keep_freed_memory
from qkv.train.log import RunLog, read_records
from qkv.train.optimizer import WeightAverage, learning_rate, make_optimizer, using_weights
from qkv.train.task import Task

_INTERRUPTED, _LOST = "interrupted", "lost"  # the latter: another process has ended


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How training ended."""

    step: int  # the last one
    reason: str  # "finished", "stopped early" or "interrupted"
    score: float | None  # of the exported model; None before the first validation
    signal: int | None = None  # what interrupted it


class Trainer:
    """Trains a task in a run folder, from its newest checkpoint on if it has one.

    Every step is a pure function of the checkpoint before it: data order and dropout follow from (seed, step, rank), so
    a run that was killed and continued ends with the same weights, bit for bit, as one that was not. Checkpoints,
    metrics and the exported model go into the folder `run`; `seed` is that of dropout.
    """

    def __init__(
        self, task: Task, config: TrainingConfig, run: Path, seed: int, reporter: Reporter, world: World | None = None
    ) -> None:
        keep_freed_memory()
        self.task, self.config, self.run, self.seed, self.reporter = task, config, run, seed, reporter
        self.world = world or World()
        if config.accumulate % self.world.size:
            wanted = f"a multiple of the {self.world.size} processes, which share the batches of a step"
            raise QkvError(f"training.accumulate ({config.accumulate}) must be {wanted}")
        self.device = choose_device(None if config.device == "auto" else config.device, "training.device: ")
        use_threads()
        # Convolutions of pictures see channels last (models/layout.py), and so come the gradients of their weights.
        task.model.to(self.device)
        task.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: not in its types
        self.optimizer = make_optimizer(task.model, config)
        self.average = WeightAverage(task.model, config.ema) if config.ema else None
        self.checkpoints = Checkpoints(run / "checkpoints", config.keep_best)
        self.progress = Progress()
        self._saved: int | None = self.world.share(self.checkpoints.newest() if self.world.leads else None)
        if self._saved is not None:
            self.progress = self.checkpoints.load(self._saved, task.model, self.optimizer, self._averaged())
        self._loss = _Loss(task, config, self.device)
        self._parallel = self.world.wrap(self._loss)

    def train(self) -> Outcome:
        """Train to the end, to an early stop, or to an interruption; in each case the model directory is up to date."""
        progress, config = self.progress, self.config
        if self.world.leads:
            self.task.check_length(config.max_steps)
            self.checkpoints.remove_others(progress)  # as a kill may have kept the last save from doing
        log = RunLog(self.run, config, self.task.unit, progress.step, self.reporter, silent=not self.world.leads)
        with interruptible(second_kills=self.world.size == 1) as interruption, log:
            reason = self._loop(log, interruption)
            if reason in (_INTERRUPTED, _LOST):
                self._save()
        if reason not in (_INTERRUPTED, _LOST):
            self._export_average()
        if self.world.leads and progress.step:
            from qkv.figures.curve import draw_learning_curve  # and with it matplotlib

            draw_learning_curve(read_records(log.metrics), self.task.score, self.run / "curve.png")
        if reason == _LOST:
            reason = _INTERRUPTED
        else:
            self.world.wait()
        best = progress.best_step
        return Outcome(progress.step, reason, None if best is None else progress.scores[best], interruption.signal)

    def _loop(self, log: RunLog, interruption: Interruption) -> str:
        config, progress = self.config, self.progress
        window = _Window()
        with Batches(self.task, (progress.epoch, progress.index), self.world, config.workers) as batches:
            while progress.step < config.max_steps:
                if config.patience and progress.validations_since_best() >= config.patience:
                    return "stopped early"
                step, begin = progress.step + 1, time.monotonic()
                mine = [batches.next() for _ in range(config.accumulate // self.world.size)]
                due = step % config.validate_every == 0 or step == config.max_steps
                metrics: dict[str, float] = {}
                try:
                    totals = self._totals(mine, interruption)
                    if totals.pop(_INTERRUPTED):  # on any process, so that all stop at the same step
                        return _INTERRUPTED
                    window.add(self._step(step, mine, totals), totals[self.task.unit])
                    if step % config.log_every == 0 or due:
                        metrics = window.close(self.task.unit)
                        metrics |= self.world.sum({"loss": metrics["loss"]})
                except Lost:  # of this step nothing has reached the weights
                    return _LOST
                norm = self._update(step)
                progress.step, (progress.epoch, progress.index) = step, batches.position
                progress.seconds += time.monotonic() - begin
                log.step(step)
                if metrics:
                    log.training(step, self._checked(metrics | self.task.step_metrics(), step, norm))
                if due:
                    self._validate(log)
                    window = _Window()  # validation is not training time
        return "finished"

    def _totals(self, batches: list[Any], interruption: Interruption) -> dict[str, float]:
        """Denominators of all batches of a step, on all processes, and whether one of these is to stop."""
        totals: dict[str, float] = {_INTERRUPTED: float(interruption.signal is not None)}
        for batch in batches:
            for name, amount in self.task.denominators(batch).items():
                totals[name] = totals.get(name, 0.0) + amount
        return self.world.sum(totals)

    def _step(self, step: int, batches: list[Any], totals: dict[str, float]) -> Tensor:
        """The passes of a step, as if its batches were one: this process's share of the loss, and the gradients."""
        model = self.task.model
        model.train()
        torch.manual_seed((self.seed << 32) + (step << 8) + self.world.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate(step, self.config)
        self.task.begin_step(step)
        loss_of_step = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, 1):
            with self.world.exchanging(), self.world.reduces(self._parallel, last=number == len(batches)):
                loss = self._parallel(to_device(batch, self.device), totals)
                # Data-parallel training averages the processes' gradients; the loss is their sum.
                (loss * self.world.size).backward()
            loss_of_step += loss.detach()
        return loss_of_step

    def _update(self, step: int) -> Tensor:
        """Change the weights by their gradients; gives the norm of these."""
        model = self.task.model
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.config.clip_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.task.end_step(self.world.gather)
        if self.average is not None:
            self.average.update(step)
        return norm

    def _checked(self, metrics: dict[str, float], step: int, norm: Tensor) -> dict[str, float]:
        if not math.isfinite(metrics["loss"]):
            saved = self._saved
            last = (
                "no checkpoint yet" if saved is None else f"the last good checkpoint is {self.checkpoints.path(saved)}"
            )
            raise QkvError(
                f"the loss became {metrics['loss']} by step {step}; {last}; lower training.learning_rate or raise "
                f"training.warmup in {self.run / 'recipe.yaml'} and continue with: qkv train {self.run}"
            )
        return {**metrics, "learning_rate": learning_rate(step, self.config), "gradient_norm": norm.item()}

    def _averaged(self) -> dict[str, Tensor] | None:
        return None if self.average is None else self.average.weights

    def _evaluate(self, weights: dict[str, Tensor] | None) -> dict[str, float]:
        """Validation metrics with these weights, from rank 0, on all its cores if it has no accelerator."""
        metrics: dict[str, float] = {}
        if self.world.leads:
            with using_weights(self.task.model, weights), torch.no_grad(), all_cores(self.world.size > 1):
                self.task.model.eval()
                metrics = self.task.evaluate()
        try:
            return self.world.share(metrics)
        except Lost:
            if self.world.leads:
                return metrics  # and save; the next step comes to know of it
            raise

    def _validate(self, log: RunLog) -> None:
        """Validate, export the model if it is the best so far, and save a checkpoint.

        In this order: what stops between the two is repeated from the checkpoint before, and nothing is missing.
        """
        progress = self.progress
        with log.validating():
            metrics = self._evaluate(self._averaged())
        progress.scores[progress.step] = metrics[self.task.score]
        log.validation(progress.step, metrics, self.task.score, max(progress.scores.values()))
        if progress.best_step == progress.step:
            self._export(self._averaged() or get_weights(self.task.model), metrics)
        self._save()

    def _save(self) -> None:
        if self.world.leads and self.progress.step != self._saved:
            self.checkpoints.save(self.progress, self.task.model, self.optimizer, self._averaged())
            self._saved = self.progress.step

    def _export_average(self) -> None:
        """Average the best checkpoints, and export the result if it scores better than the best of them."""
        progress = self.progress
        best = self.world.share(self.checkpoints.best(progress))
        whole = self.world.share(self.checkpoints.without_damaged(best) if self.world.leads else [])
        if len(whole) < 2:
            return
        weights = {name: weight.to(self.device) for name, weight in self.checkpoints.averaged_weights(whole).items()}
        metrics = self._evaluate(weights)
        score, single = metrics[self.task.score], progress.scores[best[0]]
        both = f"{self.task.score} {score:.2f}, best single one {single:.2f}"
        verdict = "kept" if score > single else "not kept"
        self.reporter.say(f"average of the {len(whole)} best checkpoints: {both}: {verdict}")
        if score > single:
            progress.scores[progress.step] = score
            self._export(weights, metrics)

    def _export(self, weights: dict[str, Tensor], metrics: dict[str, float]) -> None:
        if self.world.leads:
            facts = {"step": self.progress.step, "hours": self.progress.seconds / 3600, "validation": metrics}
            dtype = getattr(torch, self.config.export_precision)
            stored = {name: weight.to(dtype) for name, weight in weights.items()}
            self.task.export(self.run / "model", stored, facts)


class _Loss(nn.Module):
    """The loss as a module, which is what data-parallel training wraps."""

    def __init__(self, task: Task, config: TrainingConfig, device: torch.device) -> None:
        super().__init__()
        self.model = task.model
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
        self.losses = torch.compile(task.losses, dynamic=True) if config.compile else task.losses

    def forward(self, batch: Any, totals: dict[str, float]) -> Tensor:
        with self._autocast:
            return torch.stack([value / totals[name] for name, value in self.losses(batch).items()]).sum()


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
        loss, now = torch.stack(self._losses).mean().item(), time.monotonic()
        rate = self._units / (now - self._last)
        self._losses, self._units, self._last = [], 0.0, now
        return {"loss": loss, f"{unit}_per_second": rate}
