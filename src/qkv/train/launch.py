"""Start several processes on this machine that train together, and be there for them until they end."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from qkv.errors import QkvError
from qkv.runtime.threads import cores
from qkv.train.host import stop_signals

MEETING = "QKV_MEETING"
"""The environment variable that names the folder in which workers meet."""
SECRET = "secret"
"""The file in it that all of them know, and nobody else."""
_SECONDS_TO_SAVE = 120.0
_SECONDS_BETWEEN_LOOKS = 0.05
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"

_Worker = subprocess.Popen[bytes]


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `python -m ARGUMENTS`, which calls `join`, in several processes on this machine, its workers.

    A signal that asks to stop is passed on to them, and a second one kills them. When one fails, the others are told to
    stop; when this process dies, they stop by themselves.

    Returns:
        0, or the exit status of the worker that failed first. It has said why.

    Raises:
        QkvError: a worker was killed.
    """
    with tempfile.TemporaryDirectory(prefix="qkv-", ignore_cleanup_errors=True) as meeting:
        Path(meeting, SECRET).write_bytes(secrets.token_bytes())
        workers: list[_Worker] = []
        with _passing_signals(workers) as received:
            try:
                for rank in range(processes):
                    workers.append(_start(rank, processes, meeting, arguments))
                if received:  # before there were all of them
                    _send(workers, signal.SIGTERM)
                failed = _wait(workers)
            finally:
                _end(workers, None if received else _SECONDS_TO_SAVE)
    if received:
        return 128 + received[0]
    if failed is None:
        return 0
    rank, status = failed
    if status < 0:
        why = ": out of memory?" if status == -signal.SIGKILL else ";"
        raise QkvError(f"worker {rank} was killed (signal {-status}){why} `qkv train RUN` goes on from what is saved")
    return status


def _start(rank: int, processes: int, meeting: str, arguments: Sequence[str]) -> _Worker:
    environment = {
        "OMP_NUM_THREADS": str(max(cores() // processes, 1)),
        **os.environ,
        MEETING: meeting,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": _LOOPBACK,
    }
    # A group of its own: Ctrl-C in the terminal reaches the launcher alone, and through it each worker once. Standard
    # input tells a worker that the launcher is there.
    group = None if sys.platform == "win32" else 0
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, process_group=group)


def _wait(workers: Sequence[_Worker]) -> tuple[int, int] | None:
    """Until all have ended well or one has not: its number and status."""
    while True:
        ended = {rank: status for rank, worker in enumerate(workers) if (status := worker.poll()) is not None}
        if failed := {rank: status for rank, status in ended.items() if status}:
            # Where several ended between two looks, one that was killed took the others with it, not they it.
            return min(failed.items(), key=lambda item: (item[1] >= 0, item[1] >= 128))
        if len(ended) == len(workers):
            return None
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _end(workers: Sequence[_Worker], seconds: float | None) -> None:
    """Have those that still run save and stop; kill what does not within so many seconds, if told."""
    _send(workers, signal.SIGTERM)
    deadline = None if seconds is None else time.monotonic() + seconds
    for worker in workers:
        try:
            worker.wait(None if deadline is None else max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()


def _send(workers: Sequence[_Worker], number: int) -> None:
    for worker in workers:
        with suppress(OSError):
            worker.send_signal(number)  # does nothing once it has ended


@contextmanager
def _passing_signals(workers: Sequence[_Worker]) -> Iterator[list[int]]:
    """Pass signals on: to each of them as SIGTERM, which saves, then as SIGKILL. Gives those received so far."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        _send(workers, signal.SIGKILL if received else signal.SIGTERM)
        received.append(number)

    previous = {number: signal.signal(number, handle) for number in stop_signals()}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
