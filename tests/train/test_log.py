"""What a run tells while it trains: every step, and of each validation how long the one before took."""

from pathlib import Path

import pytest

from qkv.train import log
from qkv.train.config import TrainingConfig
from qkv.train.log import RunLog
from qkv.train.trainer import Trainer
from reporters import Heard
from train.copy_task import CopyTask


def test_a_validation_says_beforehand_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 75.0, 100.0, 130.0])
    monkeypatch.setattr(log.time, "monotonic", lambda: next(now))
    reporter = Heard()
    with RunLog(tmp_path, TrainingConfig(max_steps=9), "tokens", 0, reporter, silent=False) as run:
        for _ in range(2):
            with run.validating():
                assert reporter.told[-1][0] == "validating"
    assert [told for told in reporter.told if told[0] == "validating"] == [
        ("validating", 0, None, ""),
        ("validating", 0, None, "takes about 1:15"),
    ]


def test_what_was_measured_stays_to_be_seen_while_steps_go_on(tmp_path: Path) -> None:
    reporter = Heard()
    with RunLog(tmp_path, TrainingConfig(max_steps=9), "tokens", 3, reporter, silent=False) as run:
        run.step(4)
        run.training(5, {"loss": 1.5, "learning_rate": 1.0, "gradient_norm": 1.0, "tokens_per_second": 1234.0})
        run.step(6)
    assert reporter.told[0][:2] == ("the first step", 0)
    status = "loss 1.500  1,234 tokens/s"
    assert reporter.told[1:] == [("training", 4, 9, ""), ("training", 5, 9, status), ("training", 6, 9, status)]


def test_every_step_is_told_and_validations_between_them(tmp_path: Path) -> None:
    reporter = Heard()
    config = TrainingConfig(max_steps=4, validate_every=2, log_every=3, device="cpu")
    Trainer(CopyTask(), config, tmp_path, 1, reporter).train()
    parts = list(dict.fromkeys((what, done) for what, done, _, _ in reporter.told))
    steps = [("training", step) for step in range(1, 5)]
    assert [part for part in parts if part[0] == "training"] == steps
    assert parts[0] == ("the first step", 0) and ("validating", 0) in parts
    assert parts.index(steps[1]) < parts.index(("validating", 0)) < parts.index(steps[2])
    assert [status for what, done, _, status in reporter.told if what == "training" and done == 4][-1].startswith(
        "loss"
    )
