"""Things that cannot be read: found once for each state of their files, and replaced if they become so later."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from qkv.data.cache import read_record, write_record
from qkv.data.reading import ahead, or_error
from qkv.errors import QkvError
from qkv.reporter import Reporter

R = TypeVar("R")

_AT_ONCE = 64
_SUBSTITUTES = 100

_log = logging.getLogger(__name__)


def find_faults(
    check: Callable[[int], object], size: int, state: str, what: str, cache: Path, reporter: Reporter
) -> dict[int, str]:
    """What is wrong with which of the things 0 to `size` - 1.

    All are checked once for each `state`, a digest of what they are; those with a fault are checked again each time,
    since it may be mended in a way that the state does not tell, such as permission to read. `check` is called in
    threads, and raises QkvError if there is a fault.
    """
    file, attempt = cache / f"faults-{state}.json", or_error(check)
    if (known := _known_faults(file)) is not None:
        return {index: str(error) for index in known if isinstance(error := attempt(index), QkvError)}
    faults: dict[int, str] = {}
    for batch in ahead(range(size), attempt, _AT_ONCE):
        faults |= {index: str(error) for index, error in batch if isinstance(error, QkvError)}
        reporter.progress(what, batch[-1][0] + 1, size)
    write_record(file, list(faults))
    return faults


def _known_faults(file: Path) -> list[int] | None:
    if not file.exists():
        return None
    try:
        known = read_record(file)
        if isinstance(known, list) and all(type(number) is int for number in known):
            return known
    except (OSError, ValueError):
        pass
    _log.warning("%s is damaged: all is checked again", file)
    return None


class Substitutes:
    """Reads pictures by number; the next one stands in for one that cannot be read any more. Warns once."""

    def __init__(self) -> None:
        self._warned = False

    def read(self, read: Callable[[int], R], index: int, size: int) -> tuple[int, R]:
        """The number of the picture that is really read, and what `read` makes of it; the first follows the last."""
        fault = ""
        for substitute in range(index, index + min(_SUBSTITUTES, size)):
            try:
                return substitute % size, read(substitute % size)
            except QkvError as error:
                fault = str(error)
                if not self._warned:
                    _log.warning("a picture has become unreadable; others take its place: %s", error)
                    self._warned = True
        raise QkvError(f"pictures that could be read when training began cannot be any more; the last tried: {fault}")
