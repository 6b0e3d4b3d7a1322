"""Files appear whole or not at all: written under a temporary name beside the target, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qkv.errors import QkvError


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


def is_utf8(name: str) -> bool:
    """Whether a name can be written into a text: Linux takes any bytes, which Python keeps as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


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
