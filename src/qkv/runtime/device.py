"""Where a model runs: the one place that chooses a device and a number of threads."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from qkv.errors import QkvError, one_line

T = TypeVar("T")


def choose_device(name: str | None = None, where: str = "device ") -> torch.device:
    """The device of that name ("cuda:1"); without one the accelerator where there is one, else the CPU.

    QkvError tells `where` a device was named that is not here.
    """
    if name is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise QkvError(f"{where}{name!r} cannot be used here: {one_line(error)}") from error


def to_device(batch: T, device: torch.device) -> T:
    """A frozen dataclass with its tensors on a device; what is no tensor stays as it is."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}  # type: ignore[arg-type]
    moved = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **moved)  # type: ignore[type-var]


@contextmanager
def all_cores(yes: bool) -> Iterator[None]:
    """Let one of several processes compute on all cores while the others wait for it."""
    threads = torch.get_num_threads()
    if yes and hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def use_threads(number: int) -> None:
    """Compute with so many threads on processors from now on."""
    torch.set_num_threads(number)
