"""Things that cannot be read, found once for each state of their files."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.reporter import Reporter

_READERS = 4  # threads; decoding releases Python's lock
_AT_ONCE = 64


def find_faults(
    check: Callable[[int], object], size: int, state: str, what: str, cache: Path, reporter: Reporter
) -> dict[int, str]:
    """What is wrong with which of the things 0 to `size` - 1.

    All are checked once for each `state`; those with a fault are checked again each time, since a fault may be mended
    in a way that the state does not tell, such as permission to read.

    Args:
        check: raises QkvError if there is a fault; safe in threads.
        size: how many there are.
        state: a digest of what they are.
        what: is checked; for the progress bar.
        cache: a folder for what is found.
        reporter: is told of the work.
    """
    file = cache / f"faults-{state}.json"
    if file.exists():
        return _faults(check, json.loads(file.read_text(encoding="utf-8")))
    pieces = [range(start, min(start + _AT_ONCE, size)) for start in range(0, size, _AT_ONCE)]
    faults: dict[int, str] = {}
    pool = ThreadPoolExecutor(_READERS)
    try:
        for piece, found in zip(pieces, pool.map(lambda piece: _faults(check, piece), pieces), strict=True):
            faults |= found
            reporter.progress(what, piece.stop, size)
    finally:
        pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for a million pictures
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(list(faults)), encoding="utf-8")
    return faults


def file_state(path: Path) -> list[int]:
    """Size of a file, and when its content and when its permissions last changed; empty if there is none to be seen."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name with a NUL in it
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _faults(check: Callable[[int], object], indices: "range | list[int]") -> dict[int, str]:
    found = {}
    for index in indices:
        try:
            check(index)
        except QkvError as error:
            found[index] = str(error)
    return found
