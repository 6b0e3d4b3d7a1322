"""Reading ahead in threads, and what they share."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Condition
from typing import TypeVar

from qkv.errors import QkvError

T = TypeVar("T")
R = TypeVar("R")

READERS = 4  # threads; decoding a picture releases Python's lock


def ahead(items: Iterable[T], prepare: Callable[[T], R], size: int) -> Iterator[list[tuple[T, R]]]:
    """Batches of items with what is prepared of each, in order; the next batch is prepared while one is in use.

    Items may be endless: they are taken in the caller's thread, no more than two batches ahead. `prepare` is called in
    threads; what it raises is raised here (`or_error` makes it an answer).
    """
    source = iter(items)
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="reading")

    def start() -> list[tuple[T, Future[R]]]:
        return [(item, pool.submit(prepare, item)) for item in islice(source, size)]

    try:
        batch = start()
        while batch:
            upcoming = start()
            yield [(item, future.result()) for item, future in batch]
            batch = upcoming
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the items in work only


def or_error(read: Callable[[T], R]) -> Callable[[T], R | QkvError]:
    """The same function, but a QkvError is returned instead of raised."""

    def attempt(item: T) -> R | QkvError:
        try:
            return read(item)
        except QkvError as error:
            return error

    return attempt


class Share:
    """An amount that threads share: each takes a part of it for a while, and waits until as much is left.

    Who wants more than there is waits until nobody else has any.
    """

    def __init__(self, amount: int) -> None:
        self._amount, self._taken, self._changed = amount, 0, Condition()

    @contextmanager
    def of(self, part: int) -> Iterator[None]:
        """Have a part of it; whoever has one must not ask for another."""
        part = min(part, self._amount)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + part <= self._amount)
            self._taken += part
        try:
            yield
        finally:
            with self._changed:
                self._taken -= part
                self._changed.notify_all()
