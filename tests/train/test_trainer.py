import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from qkv.errors import QkvError
from qkv.model_directory import read_weights
from qkv.models.weights import get_weights
from train.copy_task import CopyBatch, CopyTask, trainer

SCRIPT = Path(__file__).with_name("copy_task.py")


def assert_same_weights(model: torch.nn.Module, other: torch.nn.Module) -> None:
    others = get_weights(other)
    for name, weight in get_weights(model).items():
        assert torch.equal(weight, others[name]), name


def test_copy_task_is_learnt_to_100_percent(tmp_path: Path) -> None:
    outcome = trainer(
        tmp_path, max_steps=400, warmup=40, validate_every=100, learning_rate=5e-3, schedule="cosine", ema=0.9
    ).train()
    assert outcome.score == 100.0


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    """Unequal parts too: the loss is normalised by all tokens of the step, not by each batch's own."""

    class Split(CopyTask):
        """Every large batch of the parent, in parts of 5, 7 and 20 rows."""

        def n_batches(self, epoch: int) -> int:
            return 3 * super().n_batches(epoch)

        def batch(self, epoch: int, index: int) -> CopyBatch:
            rows = super().batch(epoch, index // 3).source
            return CopyBatch(rows.split([5, 7, 20])[index % 3])

    whole = trainer(tmp_path / "whole", CopyTask(), max_steps=5)
    parts = trainer(tmp_path / "parts", Split(), max_steps=5, accumulate=3)
    whole.train()
    parts.train()
    others = get_weights(parts.task.model)
    for name, weight in get_weights(whole.task.model).items():
        # A bias on all keys shifts all scores of a query alike: its gradient is rounding noise, which Adam scales up.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weight, others[name], rtol=1e-4, atol=1e-5)


def test_resume_in_mid_epoch_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    settings = {"max_steps": 10, "validate_every": 5, "ema": 0.9, "accumulate": 2}
    whole = trainer(tmp_path / "whole", CopyTask(dropout=0.1), **settings)
    whole.train()
    first = trainer(tmp_path / "parts", CopyTask(dropout=0.1), **settings)
    first.task.evaluate = _killed_at(first, step=10)  # dies during the second validation
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = trainer(tmp_path / "parts", CopyTask(seed=99, dropout=0.1), **settings)
    second.task.seed = 0
    assert second.progress.step == 5
    second.train()
    assert_same_weights(whole.task.model, second.task.model)


def test_a_kill_between_export_and_checkpoint_costs_no_model(tmp_path: Path) -> None:
    settings = {"max_steps": 10, "validate_every": 5}
    first = trainer(tmp_path, CopyTask(), **settings)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    first.task.export = kill
    with pytest.raises(KeyboardInterrupt):
        first.train()
    again = trainer(tmp_path, CopyTask(), **settings)
    assert again.progress.step == 0  # no checkpoint without the model that it would stand for
    outcome = again.train()
    assert (tmp_path / "model").is_dir()
    assert outcome.step == 10


def _killed_at(run, step: int):
    evaluate = run.task.evaluate

    def check():
        if run.progress.step == step:
            raise KeyboardInterrupt
        return evaluate()

    return check


@pytest.fixture
def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


def start(
    run: Path, environment: dict[str, str], processes: int = 1, dropout: float = 0.1, **settings: object
) -> subprocess.Popen[bytes]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), str(SCRIPT), str(run)]
    return subprocess.Popen([*command, json.dumps({"dropout": dropout, **settings})], env=environment)


def wait_for(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Until metrics.jsonl tells of a step."""
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
        assert process.poll() is None, f"training ended before step {step}"
        time.sleep(0.02)


def test_kill_9_in_mid_epoch_then_resume(tmp_path: Path, environment: dict[str, str]) -> None:
    settings = {"max_steps": 100, "validate_every": 20, "log_every": 1, "warmup": 10, "ema": 0.9}
    assert start(tmp_path / "whole", environment, **settings).wait() == 0
    killed = start(tmp_path / "killed", environment, **settings)
    wait_for(tmp_path / "killed", 33, killed)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert start(tmp_path / "killed", environment, **settings).wait() == 0
    whole = trainer(tmp_path / "whole", **settings)
    resumed = trainer(tmp_path / "killed", **settings)
    assert whole.progress.step == resumed.progress.step == 100
    assert_same_weights(whole.task.model, resumed.task.model)
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, 101))


def test_two_processes_equal_one(tmp_path: Path, environment: dict[str, str]) -> None:
    """Over an odd number of batches an epoch, so that a step spans two epochs."""
    two = start(tmp_path / "two", environment, processes=2, dropout=0.0, max_steps=6, validate_every=3, accumulate=2)
    one = trainer(tmp_path / "one", max_steps=6, validate_every=3, accumulate=2)
    one.train()
    assert two.wait() == 0
    resumed = trainer(tmp_path / "two", max_steps=6, validate_every=3, accumulate=2)
    assert resumed.progress.scores == one.progress.scores
    assert (resumed.progress.epoch, resumed.progress.index) == (one.progress.epoch, one.progress.index)
    others = get_weights(resumed.task.model)
    for name, weight in get_weights(one.task.model).items():
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weight, others[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_polite_signal_saves_and_exits(tmp_path: Path, environment: dict[str, str], number: signal.Signals) -> None:
    process = start(tmp_path / "run", environment, max_steps=10**6, validate_every=10**5, log_every=1)
    wait_for(tmp_path / "run", 5, process)
    process.send_signal(number)
    assert process.wait() == 0
    continued = trainer(tmp_path / "run", max_steps=10**6)
    assert continued.progress.step >= 5


def test_nan_stops_and_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=20, validate_every=5, log_every=1)
    losses = run.task.losses
    run._loss.losses = lambda batch: {
        name: value * (math.nan if run.progress.step >= 7 else 1) for name, value in losses(batch).items()
    }
    with pytest.raises(QkvError, match=r"loss became nan by step 8; the last good checkpoint is .*step-00000005"):
        run.train()
    assert run.checkpoints.steps() == [5]


def test_early_stopping_and_keep_best(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=1000, validate_every=1, patience=3, keep_best=2)
    scores = iter([10.0, 30.0, 20.0, 25.0, 5.0, 99.0])
    run.task.evaluate = lambda: {"loss": 1.0, "accuracy": next(scores, 0.0)}
    outcome = run.train()
    assert outcome.reason == "stopped early"
    assert outcome.step == 5
    assert run.checkpoints.steps() == [2, 4, 5]  # the two best, and the newest


def test_the_average_of_the_best_checkpoints_is_exported_when_it_scores_better(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=3, validate_every=1, keep_best=2)
    scores = iter([1.0, 2.0, 3.0, 50.0])
    run.task.evaluate = lambda: {"loss": 1.0, "accuracy": next(scores)}
    assert run.train().score == 50.0
    second, third = run.checkpoints.weights(2), run.checkpoints.weights(3)
    for name, weight in read_weights(tmp_path / "model").items():
        torch.testing.assert_close(weight, (second[name] + third[name]) / 2)


def test_the_best_single_checkpoint_is_exported_when_the_average_is_worse(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=3, validate_every=1, keep_best=2)
    scores = iter([1.0, 9.0, 3.0, 2.0])
    run.task.evaluate = lambda: {"loss": 1.0, "accuracy": next(scores)}
    assert run.train().score == 9.0
    best = run.checkpoints.weights(2)
    for name, weight in read_weights(tmp_path / "model").items():
        assert torch.equal(weight, best[name])


def test_a_learning_curve_is_drawn(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_bfloat16_and_tensorboard(tmp_path: Path) -> None:
    trainer(tmp_path, precision="bfloat16", tensorboard=True).train()
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert all(p.dtype == torch.float32 for p in CopyTask().model.parameters())
