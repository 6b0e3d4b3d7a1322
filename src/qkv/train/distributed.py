"""Several processes that train one model (torch.distributed), of which one is the special case.

They were started by `launch`, on one machine, or by torchrun, on any number of them.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from qkv.train.launch import MEETING
from qkv.train.worker import meet


class Lost(Exception):
    """Another process has ended, and with it what was to be exchanged."""


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # its number on this machine, which picks its GPU

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            with self.exchanging():
                dist.barrier()

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Where processes exchange something; `Lost` if one of them has ended."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise Lost from error
            raise

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Run a block on rank 0 first, then on the others, which find what it left on disk, and repeat no warning."""
        if self.leads:
            yield
            self.wait()
            return
        self.wait()
        log = logging.getLogger("qkv")
        before = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(before)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, whose gradients the processes average."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def reduces(self, wrapped: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Where the passes of a step run: the processes exchange gradients after the last one only."""
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) and not last else nullcontext()

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the processes, which all give the same names."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=_device())
        with self.exchanging():
            dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor of every process, of the same shape, stacked by rank."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with self.exchanging():
            dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def share(self, value: Any) -> Any:
        """What rank 0 has, a JSON-like value."""
        if self.size == 1:
            return value
        # As JSON rather than with broadcast_object_list, which would unpickle.
        content = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=_device())
        length = torch.tensor(len(content), device=_device())
        with self.exchanging():
            dist.broadcast(length, src=0)
            if not self.leads:
                content = content.new_empty(int(length))
            dist.broadcast(content, src=0)
        return json.loads(bytes(content.tolist()))


@contextmanager
def join() -> Iterator[World]:
    """Join the processes that `launch` or torchrun started; without them, be alone."""
    if MEETING not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        yield World()
        return
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))
    if torch.cuda.is_available():
        torch.cuda.set_device(world.local_rank)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        with world.exchanging():
            if MEETING in os.environ:
                meet(backend, world.rank, world.size)
            else:
                dist.init_process_group(backend)
        yield world
    except Lost:
        raise SystemExit(1) from None  # whoever ended first has said why, or its launcher does
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
