"""Several processes that train one model, started by torchrun (torch.distributed). One process is the special case."""

import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel

from qkv.runtime.threads import cores


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
            dist.barrier()

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
        dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor of every process, of the same shape, stacked by rank."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def share(self, value: Any) -> Any:
        """What rank 0 has, a JSON-like value."""
        if self.size == 1:
            return value
        # As JSON rather than with broadcast_object_list, which would unpickle.
        content = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=_device())
        length = torch.tensor(len(content), device=_device())
        dist.broadcast(length, src=0)
        if not self.leads:
            content = content.new_empty(int(length))
        dist.broadcast(content, src=0)
        return json.loads(bytes(content.tolist()))


@contextmanager
def join() -> Iterator[World]:
    """Join the processes that torchrun started; without torchrun, be alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield World()
        return
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))
    if torch.cuda.is_available():
        torch.cuda.set_device(world.local_rank)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield world
    finally:
        dist.destroy_process_group()


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `python -m ARGUMENTS`, which calls `join`, in several processes on this machine, as torchrun does.

    Returns:
        0, or the exit status of the process that failed first. It has said why.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes speak for themselves
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores() // processes, 1)))
    nodes = 1
    config = LaunchConfig(
        nodes,
        nodes,
        processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", *arguments)
    except ChildFailedError as error:
        return abs(error.get_first_failure()[1].exitcode)
    except SignalException as error:  # the processes were told too, and have saved
        return 128 + error.sigval
    return 0


def _device() -> torch.device:
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
