"""Reading ahead: order, how far ahead, errors, and stopping; substitutes for what cannot be read any more."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest

from qkv.data.reading import READERS, Share, ahead, or_error
from qkv.data.unreadable import Substitutes
from qkv.errors import QkvError


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (6, 3), (7, 3), (2, 50)])
def test_batches_are_in_order(n: int, size: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.002 * (3 - number % 3))
        return -number

    found = list(ahead(range(n), slow_at_first, size))
    assert [pair for batch in found for pair in batch] == [(number, -number) for number in range(n)]
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)


def test_one_batch_is_prepared_while_another_is_in_use_and_no_more() -> None:
    source, prepared = count(), []
    reading = ahead(source, prepared.append, 5)
    next(reading)
    reading.close()
    assert next(source) == 10
    assert set(range(5)) <= set(prepared) <= set(range(10))


def test_stopping_waits_for_the_items_in_work_only() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.02)

    reading = ahead(range(2000), work, 4)
    next(reading)
    reading.close()
    assert len(begun) <= 4 + READERS


def read(number: int) -> int:
    if number in (1, 2):
        raise QkvError(f"{number} cannot be read")
    return number


def test_errors_are_raised_or_given_back() -> None:
    with pytest.raises(QkvError, match="1 cannot be read"):
        list(ahead(range(4), read, 2))
    [batch] = ahead(range(4), or_error(read), 4)
    assert [str(answer) for _, answer in batch] == ["0", "1 cannot be read", "2 cannot be read", "3"]


def test_the_next_picture_stands_in(caplog: pytest.LogCaptureFixture) -> None:
    substitutes = Substitutes()
    assert [substitutes.read(read, index, 5) for index in range(5)] == [(0, 0), (3, 3), (3, 3), (3, 3), (4, 4)]
    assert substitutes.read(read, 2, 3) == (0, 0)
    assert caplog.messages == ["a picture has become unreadable; others take its place: 1 cannot be read"]
    with pytest.raises(QkvError, match=r"cannot be any more; the last tried: 1 cannot be read"):
        substitutes.read(lambda _: read(1), 0, 5)


def test_what_threads_have_of_a_share_is_never_more_than_there_is() -> None:
    share, had, most = Share(10), [], []

    def work(part: int) -> None:
        with share.of(part):
            had.append(min(part, 10))
            most.append(sum(had))
            time.sleep(0.001)
            had.remove(min(part, 10))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 4, 3, 100, 6, 2, 10, 5] * 4))
    assert 0 < max(most) <= 10


def test_parts_that_fit_are_had_at_once_and_given_back_after_an_error() -> None:
    share, both = Share(10), Event()

    def work(part: int) -> bool:
        with share.of(part):
            if part == 6:
                both.set()
            return both.wait(60)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, [4, 6]))
    for _ in range(3):
        with pytest.raises(QkvError), share.of(10):
            raise QkvError("no")
