"""What a command gives: files that appear whole, and tables and JSON on standard output."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.json_text import json_text
from qkv.reporter import Table
from qkv.terminal.reporter import to_rich

_NAMED = 10


def check_target(option: str, path: Path | None, suffix: str) -> None:
    """Refuse, before any work is done for it, a file that is a folder, has another suffix, or cannot be written."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise QkvError(f"{option} {path} must end in {suffix}")
    if path.is_dir():
        raise QkvError(f"{option} {path} is a folder: name a file in it, such as {path / f'picture{suffix}'}")
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise QkvError(f"{option} {path}: nothing can be written to {place}; choose another place")


def print_json(fields: Mapping[str, object]) -> None:
    """One JSON object on a line of standard output."""
    print(json_text(fields), flush=True)


def print_table(table: Table) -> None:
    """A table on standard output."""
    Console().print(to_rich(table))


def write_json(path: Path, fields: Mapping[str, object]) -> None:
    """One JSON object as a file."""
    write_bytes(path, f"{json_text(fields)}\n".encode())


def write_bytes(path: Path, content: bytes) -> None:
    """A file of these bytes, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def name_left_out(lines: Sequence[str]) -> None:
    """Say on standard error what is left out: the first few, and how many more there are."""
    for line in lines[:_NAMED]:
        print(f"left out: {line}", file=sys.stderr)
    if len(lines) > _NAMED:
        print(f"left out: {len(lines) - _NAMED:,} more", file=sys.stderr)
