"""Files appear whole or not at all: written under a temporary name beside the target, then renamed.

What is read must be a regular file.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qkv.errors import QkvError

_OPENED = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")  # by the shell, as for `<(command)`


def regular(path: Path, streams: bool = False) -> Path:
    """The path again, if a file lies there, a folder or nothing: whoever opens it tells of the last two.

    A pipe would be waited for until someone writes to it, perhaps for ever, and a device may never end. `streams` are
    let through: pipes that the shell has opened already, for readers that begin once and read on.

    Raises:
        QkvError: it is a pipe, a socket or a device.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # a name with a NUL in it
        return path
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (streams and stat.S_ISFIFO(mode) and _OPENED.fullmatch(str(path))):
        return path
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    raise QkvError(f"{path} is a {kind}, not a file: write what it gives into a file, and name that")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, renamed to `path` when the block ends well and removed when it does not.

    Raises:
        QkvError: it cannot be written; the message names `path`.
    """
    with _temporary(path) as temporary:
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, renamed to `path` when the block ends well; an existing `path` is replaced."""
    with _temporary(path) as temporary:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                retired = path.with_name(f".{path.name}.{os.getpid()}.old")
                os.rename(path, retired)
                os.rename(temporary, path)
                shutil.rmtree(retired)
            else:
                os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside the target, whose folder is made; what goes wrong there is told of the target."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield path.with_name(f".{path.name}.{os.getpid()}.tmp")
    except OSError as error:
        if error.filename is not None and not Path(os.fsdecode(error.filename)).is_relative_to(path.parent):
            raise  # about another file, which is being read
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> QkvError:
    return QkvError(f"cannot write {path} ({error.strerror or error}): choose another place, or free some space")
