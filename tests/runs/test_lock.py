"""One trainer a run; the lock of a process that died is nobody's."""

import os
import signal
from pathlib import Path

import pytest

from qkv.errors import QkvError
from qkv.runs.lock import only_trainer


def holder(run: Path) -> tuple[int, int]:
    """A process that trains in a run, and a child of it, as one that prepares batches."""
    ready, tell = os.pipe()
    process = os.fork()
    if not process:
        with only_trainer(run):
            child = os.fork()
            if child:
                os.write(tell, str(child).encode())
            signal.pause()
        os._exit(0)
    return process, int(os.read(ready, 100))


def test_the_second_is_told_who_trains_and_takes_over_from_the_dead(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process, child = holder(run)
    with pytest.raises(QkvError) as raised, only_trainer(run):
        pass
    wanted = f"{run} is being trained already, by process {process}: wait for it, or stop it with `kill {process}`"
    assert str(raised.value) == wanted
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    try:
        with only_trainer(run):  # at once, though the child still lives
            (run / "recipe.yaml").touch()
    finally:
        os.kill(child, signal.SIGKILL)
    with only_trainer(run):
        pass


def test_a_run_that_came_to_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_trainer(tmp_path / "new"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QkvError, match=r"cannot write .*\.lock"), only_trainer(tmp_path / "file" / "run"):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(QkvError, match=r"cannot write .*\.lock"), only_trainer(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "mine"


def test_leftovers_in_the_run_go(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "checkpoints", tmp_path / "data"):
        (place / ".qkv-abc12345.tmp").mkdir(parents=True)
    with only_trainer(tmp_path):
        assert not list(tmp_path.rglob(".qkv-*"))
