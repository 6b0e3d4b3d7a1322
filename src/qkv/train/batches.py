"""The stream of batches that a process trains on, prepared while the ones before them train."""

import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from torch.utils.data import DataLoader, Dataset

from qkv.errors import QkvError
from qkv.train.distributed import World
from qkv.train.host import stop_signals
from qkv.train.task import Task

Place = tuple[int, int]
"""Epoch and index: which batch, for `Task.batch`."""

Deal = tuple[Place, Place]
"""The place of this process's batch, and the place behind those of all processes."""


class Batches:
    """This process's batches in order, prepared by `workers` processes; by a thread if there are none.

    The processes of `world` deal the one sequence of batches out among themselves in turn. `position` is the place
    behind the batches that all of them have taken so far.
    """

    def __init__(self, task: Task, position: Place, world: World, workers: int) -> None:
        self.position = position
        self._task, self._world, self._workers = task, world, workers

    def __enter__(self) -> Self:
        self._stream = self._in_processes() if self._workers else self._in_thread()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.close()

    def next(self) -> Any:
        """The next batch; `position` then stands behind this and the other processes' batches."""
        batch, self.position = next(self._stream)
        if isinstance(batch, QkvError):
            raise batch
        return batch

    def _deals(self) -> Iterator[Deal]:
        places = self._places()
        while True:
            dealt = [next(places) for _ in range(self._world.size)]
            epoch, index = dealt[-1]
            yield dealt[self._world.rank], (epoch, index + 1)

    def _places(self) -> Iterator[Place]:
        epoch, index = self.position
        while True:
            yield from ((epoch, i) for i in range(index, self._task.n_batches(epoch)))
            epoch, index = epoch + 1, 0

    def _in_thread(self) -> Generator[tuple[Any, Place]]:
        load, deals = _Loader(self._task).__getitem__, self._deals()
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            upcoming = pool.submit(load, next(deals))
            while True:
                batch = upcoming.result()
                upcoming = pool.submit(load, next(deals))
                yield batch

    def _in_processes(self) -> Generator[tuple[Any, Place]]:
        yield from DataLoader(
            _Loader(self._task),
            sampler=self._deals(),
            batch_size=None,  # a deal is a whole batch already
            num_workers=self._workers,
            collate_fn=_as_it_is,
            worker_init_fn=_outlive_signals,
            multiprocessing_context="fork",  # shares the data with this process instead of copying it
        )


class _Loader(Dataset[tuple[Any, Place]]):
    """Makes batches, as PyTorch's DataLoader asks for them."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, deal: Deal) -> tuple[Any, Place]:
        mine, behind = deal
        try:
            return self._task.batch(*mine), behind
        except QkvError as error:
            return error, behind  # raised in a process, its one line would come back inside a traceback


def _outlive_signals(worker: int) -> None:
    # Ctrl-C and the like often reach the whole group of processes; the trainer still needs batches to finish its step.
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(item: Any) -> Any:
    return item
