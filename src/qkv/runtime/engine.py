"""The seam between a pipeline and whatever runs its model: PyTorch, or PyTorch with fused products on a CPU.

A pipeline hands over tensors from anywhere and never asks a weight where it lies.
"""

from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from qkv.runtime.device import Device, choose_device, use_threads
from qkv.runtime.fusion import fused

Model = TypeVar("Model", bound=nn.Module)
Kind = Literal["torch", "fused"]

_CACHED = 5 * 2**20  # numbers in a layer's widest activation, 20 MiB: larger ones are slower, by measurement


class Engine(Generic[Model]):
    """Runs a model on the `device` where its weights lie, in inference mode, and gives what it computes there."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.device = next(model.parameters()).device

    def forward(self, *inputs: Any) -> Any:
        """What the model gives for inputs."""
        return self.call(self.model, *inputs)

    def start(self, *inputs: Any) -> Any:
        """The state that decoding begins with, of a model that decodes."""
        return self.call(self.model.start, *inputs)  # type: ignore[arg-type] (a model that decodes has it)

    def decode(self, tokens: Tensor, state: Any) -> Tensor:
        """Append tokens to each row's past; logits of the token after the last."""
        return self.call(self.model.decode, tokens, state)  # type: ignore[arg-type]

    @torch.inference_mode()
    def call(self, function: Callable[..., Any], *inputs: Any) -> Any:
        """What another function of the model gives, such as `engine.call(model.features, images)`."""
        return function(*(value.to(self.device) if isinstance(value, Tensor) else value for value in inputs))


class _Reads(Protocol):
    """What a model says of itself so that a fused engine may cut its batches."""

    def widest(self, inputs: Tensor) -> int:
        """Numbers in the widest activation of a layer, for one row of the inputs."""
        ...


class FusedEngine(Engine[Model]):
    """Runs `forward` of a model on a CPU with fused products, a batch in parts that stay in the caches."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._fused = fused(model)

    @torch.inference_mode()
    def forward(self, *inputs: Tensor) -> Tensor:
        """What the model gives for inputs, row by row the same in any batch."""
        model: _Reads = self.model  # type: ignore[assignment]
        at_once = max(1, _CACHED // model.widest(inputs[0]))
        parts = zip(*(value.split(at_once) for value in inputs), strict=True)
        return torch.cat([self._fused(*part) for part in parts])


def open_engine(model: Model, device: Device | None = None, kind: Kind = "torch") -> Engine[Model]:
    """Move a model to a device (`choose_device`), for inference alone: its weights move, and dropout ends.

    Threads are chosen for it (`use_threads`).

    The kind "fused" runs products on a CPU with what follows them; elsewhere it is "torch".
    """
    chosen = choose_device(device)
    model.eval().to(chosen)
    use_threads(parameters=sum(parameter.numel() for parameter in model.parameters()))
    return FusedEngine(model) if kind == "fused" and chosen.type == "cpu" else Engine(model)
