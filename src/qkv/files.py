"""Files appear whole or not at all, survive a power failure, and tell whether they still are what was written.

What is written grows in a folder of its own beside the target, then takes the target's name. That folder's name cannot
be foreseen and only its owner may enter it, so nobody can lay a link where something is about to be written. A writer
holds a lock on it, which the system lifts when the writer dies: that tells leftovers from work in progress.

What is read must be a regular file.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qkv.errors import QkvError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUMS = "checksums.json"
_PREFIX, _SUFFIX, _RETIRED = ".qkv-", ".tmp", "replaced"
# From Linux's fcntl.h and fs.h.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

_OPENED = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")  # by the shell, as for `<(command)`

_held: set[int] = set()


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
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


@contextmanager
def atomic_folder(path: Path, sealed: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, renamed to `path` when the block ends well; an existing `path` is replaced.

    On Linux there is no moment without a `path`. A `sealed` folder holds its checksums, which `find_damage` compares.
    """
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        if sealed:
            _seal(temporary)
        for folder, _, files in os.walk(temporary):
            for name in (*files, "."):
                _sync(Path(folder, name))
        if os.path.lexists(path):
            _exchange(temporary, path)
        else:
            os.rename(temporary, path)
        _sync(path.parent)


def copy_folder(source: Path, target: Path) -> None:
    """A sealed copy of the files in a folder, whole or not at all."""
    with atomic_folder(target, sealed=True) as temporary:
        for file in source.iterdir():
            if file.is_file() and file.name != CHECKSUMS:
                shutil.copyfile(file, temporary / file.name)


def remove_folder(path: Path) -> None:
    """Remove a folder, which is there whole until it is gone."""
    with _beside(path) as temporary:
        os.rename(path, temporary)


def write_tensors(file: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name as a safetensors file, readable by whoever may read other files written here."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    file.touch()
    mode = file.stat().st_mode
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata)
    except SafetensorError as error:
        if (told := re.search(r"os error (\d+)", str(error))) is None:
            raise
        number = int(told[1])
        raise OSError(number, os.strerror(number), str(file)) from error
    file.chmod(mode)  # safetensors writes for the owner's eyes only, whatever the umask says


def find_damage(folder: Path) -> str:
    """What is wrong with a sealed folder: the file that is missing, or not as it was written; empty if nothing is.

    Nothing is known of a folder without checksums, such as one of an older version.
    """
    try:
        noted = json.loads((folder / CHECKSUMS).read_bytes())
        name, sums = noted["folder"], dict(noted["sha256"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return f"{CHECKSUMS} cannot be read"
    if name != folder.name:
        return f"it was written as {str(name)[:80]}"
    for file, expected in sums.items():
        try:
            if _sha256(folder / file) != expected:
                return f"{file} is not what was written"
        except OSError as error:
            return f"{file}: {error.strerror or error}"
    return ""


def refuse_damage(folder: Path) -> None:
    """Refuse a sealed folder of a run that `find_damage` finds wrong, and that cannot be made anew.

    Raises:
        QkvError: it is damaged.
    """
    if fault := find_damage(folder):
        raise QkvError(f"{folder} is damaged ({fault}): restore it, or begin a new run")


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder; what one had set aside last is put back."""
    for private in [Path(entry) for entry in os.scandir(folder) if entry.name.startswith(_PREFIX)]:
        try:
            descriptor = os.open(private, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue  # gone, or another's
        with suppress(OSError), _closing(descriptor):
            if os.fstat(descriptor).st_uid != os.geteuid():
                continue
            lock(descriptor)
            for retired in (private / _RETIRED).glob("*"):
                if not os.path.lexists(folder / retired.name):
                    os.rename(retired, folder / retired.name)
            shutil.rmtree(private, ignore_errors=True)


def lock(descriptor: int) -> None:
    """Lock an open file or folder until it is closed or this process ends; processes forked from it do not hold it.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: this file system, or this operating system, has no locks.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.add(descriptor)


def unlock(descriptor: int) -> None:
    """Close what was locked."""
    _held.discard(descriptor)
    os.close(descriptor)


def unwritable(path: Path, error: OSError) -> QkvError:
    """That a path cannot be written, and why."""
    reason = error.strerror or str(error) if error.errno is None else os.strerror(error.errno)
    return QkvError(f"cannot write {path} ({reason}): choose another place, or free some space")


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def is_utf8(name: str) -> bool:
    """Whether a name can be written into a text: Linux takes any bytes, which Python keeps as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        unlock(descriptor)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in a private folder beside the target, whose folder is made; what goes wrong is told of the target."""
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        private, descriptor = _private_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield private / path.name
    except OSError as error:
        if error.errno is None or (error.filename is not None and not _within(error.filename, private, path)):
            raise  # about something else, which is being read
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)
        if descriptor is not None:
            unlock(descriptor)


def _private_folder(parent: Path) -> tuple[Path, int | None]:
    """A new folder that only this process's owner may enter, and the descriptor of its lock, if there are locks."""
    while True:
        private = Path(tempfile.mkdtemp(_SUFFIX, _PREFIX, parent))
        try:
            descriptor = os.open(private, os.O_RDONLY)
        except FileNotFoundError:
            continue  # taken for a leftover, before it was locked
        except OSError:  # Windows opens no folders
            return private, None
        try:
            lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            continue  # the same, at this very moment
        except OSError:
            os.close(descriptor)
            return private, None
        if private.exists():
            return private, descriptor
        unlock(descriptor)


def _within(name: object, private: Path, path: Path) -> bool:
    file = Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else None
    return file is not None and (file.is_relative_to(private) or file in (path, path.parent))


def _refuse_special(path: Path) -> None:
    """Refuse to put a file in the place of a device or a pipe, which /dev/null would not survive."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise QkvError(f"cannot write {path} (it is a device or a pipe): choose the name of a file")


def _sync(path: Path) -> None:
    """Have the disk hold it: after a power failure a name may otherwise be there without its content."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        if path.is_dir():
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Swap the two names at once; where the system cannot, there is a moment without `old`."""
    if _swap(new, old):
        return
    retired = new.parent / _RETIRED / old.name
    retired.parent.mkdir()
    os.rename(old, retired)
    try:
        os.rename(new, old)
    except OSError:
        os.rename(retired, old)
        raise


def _swap(new: Path, old: Path) -> bool:
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(old))


def _seal(folder: Path) -> None:
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    (folder / CHECKSUMS).write_text(json.dumps({"folder": folder.name, "sha256": sums}), encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
