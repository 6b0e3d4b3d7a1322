"""The machine that training runs on."""

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have the C library reuse large blocks instead of returning them to the system.

    A training step frees and takes hundreds of megabytes. By default glibc maps each large block anew, and the kernel
    zeroes it page by page, which a step on a CPU then waits for. Without glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, -1)


def stop_signals() -> list[signal.Signals]:
    """What asks training to stop: what `nohup` has made deaf to SIGHUP stays so."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@dataclass
class Interruption:
    """Set when the user or the system asks to stop."""

    signal: int | None = None


@contextmanager
def interruptible(second_kills: bool) -> Iterator[Interruption]:
    """Turn Ctrl-C, SIGTERM or SIGHUP, a closed terminal, into a request that the loop honours between steps.

    A second signal ends the process at once where `second_kills`: one of several processes hears of a single Ctrl-C
    twice, from the terminal and from its launcher.
    """
    interruption = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        interruption.signal = number
        if second_kills:
            signal.signal(number, previous[number])

    previous = {int(number): signal.signal(number, handle) for number in stop_signals()}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
