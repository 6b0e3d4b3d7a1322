"""Things that cannot be read: found once for each state of their files, and replaced if they become so later."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qkv.data.cache import read_arrow, write_arrow
from qkv.data.reading import ahead, or_error
from qkv.errors import QkvError
from qkv.reporter import Reporter

R = TypeVar("R")

_AT_ONCE = 64
_SUBSTITUTES = 100
_CHECKED = pa.schema([("found", pa.uint64())])  # null where there is a fault

_log = logging.getLogger(__name__)


def survey(
    check: Callable[[int], int], size: int, state: str, what: str, cache: Path, reporter: Reporter
) -> tuple[dict[int, str], NDArray[np.uint64]]:
    """What is wrong with which of the things 0 to `size` - 1, and what `check` makes of each of the others.

    All are checked once for each `state`, a digest of what they are; those with a fault are checked again each time,
    since it may be mended in a way that the state does not tell, such as permission to read. `check` is called in
    threads, and raises QkvError if there is a fault.
    """
    file, attempt = cache / f"checked-{state}.arrow", or_error(check)
    faults: dict[int, str] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in ahead(range(size), attempt, _AT_ONCE):
            faults.update((index, str(found)) for index, found in batch if isinstance(found, QkvError))
            column = [None if isinstance(found, QkvError) else found for _, found in batch]
            yield pa.record_batch([pa.array(column, pa.uint64())], _CHECKED)

    if (table := read_arrow(file)) is None:
        table = write_arrow(file, _CHECKED, batches(), reporter, what, size)
    column = table["found"]
    known = column.fill_null(0).to_numpy().copy()
    for index in np.flatnonzero(column.is_null().to_numpy()).tolist():
        if index not in faults:
            if isinstance(found := attempt(index), QkvError):
                faults[index] = str(found)
            else:
                known[index] = found
    return faults, known


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
