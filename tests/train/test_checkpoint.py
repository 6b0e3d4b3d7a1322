"""Damaged checkpoints are named and done without; what else lies in their folder is left alone."""

import errno
import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qkv.errors import QkvError
from qkv.files import CHECKSUMS
from qkv.models.weights import get_weights
from train.copy_task import CopyTask, trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of the steps 1, 2 and 3."""
    run = tmp_path_factory.mktemp("trained")
    trainer(run, max_steps=3, validate_every=1, keep_best=3).train()
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def step(run: Path, number: int) -> Path:
    return run / "checkpoints" / f"step-{number:08d}"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def swap(file: Path) -> None:
    """With that of the checkpoint before."""
    other = step(file.parents[2], 2) / file.name
    spare = file.with_name("spare")
    file.rename(spare)
    other.rename(file)
    spare.rename(other)


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink, swap])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json", CHECKSUMS])
def test_training_goes_on_from_the_newest_that_is_whole(
    name: str, harm: Callable[[Path], None], run: Path, trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harm(step(run, 3) / name)
    before = 1 if harm is swap else 2
    resumed = trainer(run, max_steps=3, validate_every=1, keep_best=3)
    assert resumed.progress.step == before
    messages = [message for message in caplog.messages if "damaged" in message]
    assert len(messages) == 3 - before
    assert messages[0].startswith(f"{step(run, 3)} is damaged (")
    assert messages[0].endswith("): training goes on from the one before it")
    if harm is flip and name == "model.safetensors":  # it then ends as if nothing had been
        resumed.train()
        whole = trainer(trained, max_steps=3)
        others = get_weights(whole.task.model)
        assert all(torch.equal(weight, others[name]) for name, weight in get_weights(resumed.task.model).items())
        assert not resumed.checkpoints._damage(3)


def test_with_only_damaged_ones_training_stops(run: Path) -> None:
    for number in (1, 2, 3):
        flip(step(run, number) / "optimizer.safetensors")
    with pytest.raises(QkvError, match=r"checkpoints holds only damaged checkpoints: restore one, or remove the"):
        trainer(run)


def test_checkpoints_under_each_others_names_are_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    step(run, 3).rename(run / "spare")
    step(run, 2).rename(step(run, 3))
    (run / "spare").rename(step(run, 2))
    assert trainer(run).progress.step == 1
    assert "(it was written as step-00000002)" in caplog.messages[0]


def test_checkpoints_of_older_versions_are_read(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2, 3):
        (step(run, number) / CHECKSUMS).unlink()
        file = step(run, number) / "progress.json"
        told = json.loads(file.read_text())
        del told["format"]
        file.write_text(json.dumps(told))
    assert trainer(run).progress.step == 3
    cut(step(run, 3) / "model.safetensors")
    assert trainer(run).progress.step == 2
    assert len(caplog.messages) == 1


def test_what_else_lies_there_is_no_checkpoint(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run / "checkpoints"
    for name in ("step-00000300", "step-best", "step-00000400.bak", "step-5"):
        (folder / name).mkdir()
    (folder / "step-x.txt").touch()
    (folder / "step-00000009").touch()
    assert trainer(run).checkpoints.steps() == [1, 2, 3]
    assert not caplog.messages


def test_a_damaged_one_is_left_out_of_the_average(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    flip(step(run, 1) / "model.safetensors")
    resumed = trainer(run, max_steps=3, keep_best=3)
    said: list[object] = []
    resumed.reporter.say = said.append
    resumed.train()
    assert caplog.messages[0].endswith("is not what was written): the average does without it")
    assert str(said[0]).startswith("average of the 2 best checkpoints")


def test_a_full_disk_leaves_the_run_as_it_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = trainer(run, max_steps=6, validate_every=3)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(run.rglob("*"))
    with monkeypatch.context() as patched, pytest.raises(QkvError, match=r"cannot write .*\(No space left on device\)"):
        patched.setattr(os, "fsync", full)
        resumed.train()
    assert sorted(run.rglob("*")) == before
    again = trainer(run, CopyTask(), max_steps=6, validate_every=3)
    assert again.progress.step == 3
    again.train()
    assert again.checkpoints.steps()[-1] == 6


def test_a_full_disk_under_the_metrics_is_named(run: Path) -> None:
    file = run / "metrics.jsonl"
    resumed = trainer(run, max_steps=6, log_every=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(QkvError) as raised:
            resumed.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(raised.value).startswith(f"cannot write {file} (File too large): ")
    assert trainer(run, max_steps=6).train().step == 6  # what was cut short is no record


def test_damaged_lines_of_metrics_are_left_out_and_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = run / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = b"\xff" + lines[1][1:]
    file.write_bytes(b"".join(lines) + b'{"step": 3, "lo')
    trainer(run, max_steps=3).train()
    assert file.read_bytes() == b"".join([lines[0], *lines[2:]])
    assert caplog.messages == [f"{file}: damaged lines, 1 in all, are left out"]
