"""Where a model runs: the one place that chooses a device and a number of threads."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from qkv.errors import QkvError, one_line
from qkv.runtime.threads import cores, threads_are_given

T = TypeVar("T")

Device = str | torch.device
"""A device, or its name for PyTorch."""


def choose_device(name: Device | None = None, where: str = "device ") -> torch.device:
    """The device of that name ("cuda:1"); without one the accelerator where there is one, else the CPU.

    QkvError tells `where` a device was named that is not here.
    """
    if name is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise QkvError(f"{where}{str(name)!r} cannot be used here: {one_line(error)}; {_others()}") from error
    if device.type == "meta":
        raise QkvError(f"{where}'meta' computes nothing; {_others()}")
    return device


def _others() -> str:
    found = torch.accelerator.current_accelerator(check_available=True)
    return f"leave it out, or choose {'cpu' if found is None else f'cpu or {found.type}'}"


def to_device(batch: T, device: torch.device) -> T:
    """A frozen dataclass with its tensors on a device; what is no tensor stays as it is."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}  # type: ignore[arg-type]
    moved = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **moved)  # type: ignore[type-var]


@contextmanager
def all_cores(yes: bool) -> Iterator[None]:
    """Let one of several processes compute on all cores while the others wait for it."""
    threads = torch.get_num_threads()
    if yes:
        torch.set_num_threads(cores())
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# Threads for any model, and one more for each so many parameters: a guess for many cores.
_LEAST, _PARAMETERS = 4, 2**20
_before, _chosen = 0, -1  # threads before `use_threads` first chose; what it chose last, or -1


def use_threads(number: int | None = None, parameters: int | None = None) -> None:
    """Compute with so many threads on processors from now on.

    Without a number it is chosen: as many as there are processors for this process (`cores`), but no more than PyTorch
    takes by itself and no more than suit a model of so many `parameters`, the largest so far. What the environment
    (OMP_NUM_THREADS), an earlier `number` or the caller's own `torch.set_num_threads` says then stays as it is.

    Raises:
        QkvError: the number is below 1.
    """
    global _before, _chosen
    if number is not None:
        if number < 1:
            raise QkvError(f"there must be at least 1 thread, not {number}")
        torch.set_num_threads(number)
        _chosen = 0  # never what there are: they stay
        return
    now = torch.get_num_threads()
    if threads_are_given() or _chosen not in (-1, now):
        return
    if _chosen == -1:
        _before = now
    suit = _before if parameters is None else _LEAST + parameters // _PARAMETERS
    _chosen = max(_chosen, min(_before, cores(), suit))
    torch.set_num_threads(_chosen)
