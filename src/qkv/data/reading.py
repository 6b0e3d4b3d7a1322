"""Reading ahead in threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
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
