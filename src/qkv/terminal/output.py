"""What a command gives: files that appear whole, and tables and JSON on standard output."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.model_directory import local_model
from qkv.reporter import Table
from qkv.terminal.reporter import show_table
from qkv.terminal.text import as_json, one_line, show

_NAMED = 10
STANDARD_INPUT, STANDARD_OUTPUT = Path("/dev/stdin"), Path("/dev/stdout")  # files, where a shell has put some there


class Target(NamedTuple):
    """A file that an option names, to be written to."""

    option: str
    path: Path | None
    suffix: str = ""  # that its name must end in


def check_files(*targets: Target, reads: Iterable[str | Path | None] = (), force: bool = False) -> None:
    """Refuse, before any work is done for them, files that cannot be written or must not be.

    Files that the command `reads` are never written to, under whatever name they go: by links, or in a folder that is
    read. What is there is replaced with `force` alone.

    Raises:
        QkvError: one is read, is there, is a folder or a device, has another suffix, or its folder cannot be written.
    """
    reads = [Path(source) for source in reads if source is not None]
    seen: dict[str, str] = {}
    for option, path, suffix in targets:
        if path is None:
            continue
        if path.suffix.lower() != suffix and suffix:
            raise QkvError(f"{option} {path} must end in {suffix}")
        if path.is_dir():
            raise QkvError(f"{option} {path} is a folder: name a file in it, such as {path / f'picture{suffix}'}")
        _check_place(option, path)
        for source in reads:
            if is_read(path, source):
                raise QkvError(f"{option} {path} would replace what is read, {source}: name another file")
        if (other := seen.setdefault(os.path.realpath(path), option)) != option:
            raise QkvError(f"{option} {path} is the file of {other} too: name another")
        if path.exists() and not path.is_file():
            raise QkvError(f"{option} {path} is no file but a device or a pipe: name a file")
        if not force:
            refuse_existing(option, path)


def refuse_existing(option: str, path: Path) -> None:
    """Refuse a file that is there, also as a link that leads nowhere."""
    if os.path.lexists(path):
        raise QkvError(f"{option} {path} is there already: name another file, or add --force to replace it")


def check_folder(option: str, path: Path, reads: Iterable[str | Path | None] = (), force: bool = False) -> None:
    """Refuse, before any work is done for it, a folder that a model cannot or must not be written to.

    One that is there is replaced with `force` alone, and only if it holds a model and nothing else; never one that is
    read, or that what is read lies in. An empty one may be there.
    """
    _check_place(option, path)
    for source in (Path(source) for source in reads if source is not None):
        if is_read(path, source) or Path(os.path.realpath(source)).is_relative_to(os.path.realpath(path)):
            raise QkvError(f"{option} {path} would replace what is read, {source}: name another folder")
    if not os.path.lexists(path):
        return
    is_folder = path.is_dir() and not path.is_symlink()
    if is_folder and not any(path.iterdir()):
        return
    if not force:
        raise QkvError(f"{option} {path} is there already: name another folder, or add --force to replace a model")
    if not is_folder or local_model(path) != path or any(below.is_dir() for below in path.iterdir()):
        raise QkvError(f"{option} {path} is no model folder, which alone --force replaces: name another folder")


def is_read(path: Path, source: Path) -> bool:
    """Whether a file or folder is what is read from `source`, a file or a folder, under this name or another."""
    if not path.exists() or not source.exists():
        return os.path.realpath(path) == os.path.realpath(source)
    if path.samefile(source):
        return True
    return source.is_dir() and (_inside(path, source) or any(path.samefile(file) for file in _files_below(source)))


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _files_below(folder: Path) -> Iterator[Path]:
    """Files in a folder and below it, linked folders too, each folder once; not links that lead nowhere."""
    seen = set[str]()
    for place, below, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        below[:] = [name for name in below if os.path.realpath(os.path.join(place, name)) not in seen]
        yield from (path for path in (Path(place, name) for name in names) if path.exists())


def _check_place(option: str, path: Path) -> None:
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise QkvError(f"{option}: cannot write {path} below {place}; choose another place")


def print_json(fields: Mapping[str, object] | Sequence[object]) -> None:
    """One JSON value on a line of standard output."""
    show(as_json(fields))


def print_table(table: Table) -> None:
    """A table on standard output."""
    show_table(Console(), table)


def write_json(path: Path, fields: Mapping[str, object]) -> None:
    """One JSON object as a file."""
    write_bytes(path, f"{as_json(fields)}\n".encode())


def write_bytes(path: Path, content: bytes) -> None:
    """A file of these bytes, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def name_left_out(lines: Sequence[str]) -> None:
    """Say on standard error what is left out: the first few, and how many more there are."""
    for line in lines[:_NAMED]:
        show(f"left out: {one_line(line)}", to_stderr=True)
    if len(lines) > _NAMED:
        show(f"left out: {len(lines) - _NAMED:,} more", to_stderr=True)


def name_written(files: Mapping[str, Path | None]) -> None:
    """Say on standard output where files are."""
    for what, path in files.items():
        if path is not None:
            show(f"{what}: {path}")
