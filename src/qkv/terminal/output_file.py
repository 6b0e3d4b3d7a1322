"""Files that a command is to write."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qkv.errors import QkvError

if TYPE_CHECKING:
    pass


def check_target(option: str, path: Path | None, suffix: str) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Args:
        option: how the user named it, such as "--out".
        path: the file, if any; its folder will be made.
        suffix: what it has to end in.

    Raises:
        QkvError: it is a folder, ends in something else, or is to lie where nothing may be written.
    """
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise QkvError(f"{option} {path} must end in {suffix}")
    if path.is_dir():
        raise QkvError(f"{option} {path} is a folder: name a file in it, such as {path / f'picture{suffix}'}")
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise QkvError(f"{option} {path}: nothing can be written to {place}; choose another place")


def _write_json(path: Path, data: dict[str, object]) -> None:
    from qkv.files import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")
