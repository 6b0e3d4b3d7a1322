"""Workers on one machine: nobody else is let in, and none outlives its launcher or dies unnamed."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qkv.errors import QkvError
from qkv.train.launch import launch

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = "import sys; from qkv.train.launch import launch; sys.exit(launch(2, sys.argv[1:]))"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a module of these lines, for workers that train nothing: its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def write(lines: str) -> str:
        name = f"worker_{hashlib.sha256(lines.encode()).hexdigest()[:8]}"
        (tmp_path / f"{name}.py").write_text(f"import os, signal, sys, time\nrank = os.environ['RANK']\n{lines}\n")
        return name

    return write


def wait_for(true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    while not true():
        assert process is None or process.poll() is None
        time.sleep(0.02)


def test_the_status_of_what_failed_first_comes_back(module: Callable[[str], str]) -> None:
    assert launch(2, [module("pass")]) == 0
    waits = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\ntime.sleep(10**6) if rank == '0' else sys.exit(7)"
    assert launch(2, [module(waits)]) == 7


def test_a_killed_worker_is_named_and_the_others_may_save(module: Callable[[str], str], tmp_path: Path) -> None:
    saves = f"""
def save(*_):
    open({str(tmp_path / "saved")!r}, "w").close()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
open({str(tmp_path / "ready")!r}, "w").close() if rank == "0" else None
while rank == "1" and not os.path.exists({str(tmp_path / "ready")!r}): time.sleep(0.02)
os.kill(os.getpid(), signal.SIGKILL) if rank == "1" else time.sleep(10**6)
"""
    with pytest.raises(QkvError) as raised:
        launch(2, [module(saves)])
    named = "worker 1 was killed (signal 9): out of memory? `qkv train RUN` goes on from what is saved"
    assert str(raised.value) == named
    assert (tmp_path / "saved").exists()


def test_a_signal_is_passed_on_and_a_second_one_kills(module: Callable[[str], str], tmp_path: Path) -> None:
    deaf = f"""
signal.signal(signal.SIGTERM, lambda *_: open({str(tmp_path)!r} + "/told" + rank, "w").close())
open({str(tmp_path)!r} + "/ready" + rank, "w").close()
while True: time.sleep(0.05)
"""
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, module(deaf)])
    wait_for(lambda: all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)), process)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: all((tmp_path / f"told{rank}").exists() for rank in (0, 1)), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 128 + signal.SIGHUP


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def listening(processes: list[int]) -> list[tuple[str, int]]:
    """Address and port of each listening TCP socket of these processes, in the hexadecimal of /proc/net/tcp."""
    own = set()
    for process in processes:
        for name in Path(f"/proc/{process}/fd").iterdir():
            if name.is_symlink() and (target := os.readlink(name)).startswith("socket:["):
                own.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in own:
                address, port = local.split(":")
                found.append((address, int(port, 16)))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nobody_is_let_in_and_no_worker_outlives_its_launcher(tmp_path: Path) -> None:
    settings = {"dropout": 0.1, "max_steps": 10**6, "validate_every": 10**6, "log_every": 1, "accumulate": 2}
    command = [sys.executable, "-c", LAUNCH, "train.copy_task", str(tmp_path / "run"), json.dumps(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    process = subprocess.Popen(command, env={**environment, "TMPDIR": str(meeting)})
    try:
        metrics = tmp_path / "run" / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and b'"step": 3' in metrics.read_bytes(), process)
        workers = children(process.pid)
        assert len(workers) == 2
        assert not listening([process.pid])
        for address, port in listening(workers):  # gloo's, which all of it know one another through
            assert address == "0100007F"
            with socket.socket() as stranger, pytest.raises(TimeoutError):
                stranger.settimeout(0.3)
                stranger.connect(("127.0.0.1", port))
        (private,) = meeting.glob("qkv-*")
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        process.kill()
    process.wait()
    wait_for(lambda: not any(map(alive, workers)))
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1  # they saved, as after SIGTERM
    assert not list(meeting.glob("qkv-*"))


def test_a_stranger_in_the_place_of_a_worker_is_found_out(module: Callable[[str], str]) -> None:
    knows = """
import torch.distributed as dist
from qkv.errors import QkvError
from qkv.train import launch, worker
store = dist.FileStore(os.environ[launch.MEETING] + "/store", 2)
dist.init_process_group("gloo", store=store, rank=int(rank), world_size=2)
try:
    worker.prove(b"the secret" if rank == "0" else b"a guess", int(rank), 2)
except QkvError as error:
    assert "another program connected in the place of worker" in str(error)
    dist.barrier()
    sys.exit(0)
sys.exit(3)
"""
    assert launch(2, [module(knows)]) == 0
