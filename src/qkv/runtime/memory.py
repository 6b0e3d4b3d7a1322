"""How much memory there is, and models that are too large for it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from qkv.errors import QkvError
from qkv.models.weights import count, get_weights, sketch

Model = TypeVar("Model", bound=nn.Module)

_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may use, or "max"
_COPIES = 4  # weights, gradients, and the two moments of AdamW
_NUMBER = 4  # bytes of a float32


def memory() -> int:
    """Bytes that this process could use if it were alone: those of the machine, or of its control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_CONTROL_GROUP.read_text()))
    except (OSError, ValueError):
        return machine


def new_model(make: Callable[[], Model]) -> Model:
    """A model with new weights; refused, before it takes any memory, if this machine has too little to train it.

    Where an accelerator trains, this machine holds the weights alone.

    Raises:
        QkvError: it is too large.
    """
    parameters = count(get_weights(sketch(make)))
    needed = parameters * _NUMBER * (1 if torch.accelerator.is_available() else _COPIES)
    if needed > (there := memory()):
        sizes = f"a model of these sizes has {parameters:,} parameters and takes {needed / 2**30:,.1f} GiB in training"
        raise QkvError(f"{sizes}, but this machine has {there / 2**30:,.1f} GiB: lower the sizes in the section model")
    return make()
