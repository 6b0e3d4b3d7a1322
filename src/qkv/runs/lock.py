"""One process trains in a run's folder at a time."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qkv.errors import QkvError
from qkv.files import lock, remove_leftovers, unlock, unwritable

_LOCK = ".lock"

_log = logging.getLogger(__name__)


@contextmanager
def only_trainer(run: Path) -> Iterator[None]:
    """Be the only process that trains in the folder of a run, which is made; what killed ones left there is removed.

    The system lifts the lock when its owner dies. A folder that is still empty at the end is removed.

    Raises:
        QkvError: another process trains there, or the folder cannot be written.
    """
    file = run / _LOCK
    try:
        run.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(file, run)
    except OSError as error:
        raise unwritable(file, error) from error
    try:
        remove_leftovers(run)
        for folder in [path for path in run.iterdir() if path.is_dir() and not path.is_symlink()]:
            remove_leftovers(folder)
        yield
    finally:
        with suppress(OSError):
            os.truncate(descriptor, 0)
            if [path.name for path in run.iterdir()] == [_LOCK]:
                file.unlink()
                run.rmdir()
        unlock(descriptor)


def _taken(file: Path, run: Path) -> int:
    """The descriptor of the lock's file, which tells who has it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            lock(descriptor)
        except BlockingIOError:
            with os.fdopen(descriptor, "rb") as taken:
                owner = taken.read(200).decode(errors="replace").split()
            raise QkvError(_told(run, owner)) from None
        except OSError:
            _log.warning("%s: this file system has no locks: let nobody else train there meanwhile", run)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                with suppress(OSError):  # a full disk: the lock holds without it
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
                return descriptor
        unlock(descriptor)  # who had it has removed the file meanwhile
        run.mkdir(parents=True, exist_ok=True)


def _told(run: Path, owner: list[str]) -> str:
    if len(owner) != 2:
        return f"{run} is being trained already, by another process: wait for it, or stop it"
    number, host = owner
    where = "" if host == socket.gethostname() else f" on {host}"
    return f"{run} is being trained already, by process {number}{where}: wait for it, or stop it with `kill {number}`"
