"""Inference on a CPU: weights in oneDNN's own layout, one product for queries, keys and values, activations fused."""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from qkv.nn import FeedForward, MultiHeadAttention

Model = TypeVar("Model", bound=nn.Module)

# What oneDNN calls the activations that it computes on the way out of a product.
_ACTIVATIONS = {F.relu: "relu", F.gelu: "gelu", F.silu: "swish"}


def fused(model: Model) -> Model:
    """A copy of a model for inference, which gives the same numbers but for rounding.

    Args:
        model: in evaluation mode. Its parameters are shared with the copy; the copy's products hold theirs once more.

    Returns:
        The copy, or the model itself where there is nothing to gain: on an accelerator, or without oneDNN.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if not on_cpu or model.training or not torch.backends.mkldnn.is_available():
        return model
    shared = {id(parameter): parameter for parameter in model.parameters()}
    model = copy.deepcopy(model, shared)
    for module in list(model.modules()):
        if isinstance(module, FeedForward):
            activation = _ACTIVATIONS[module.activation]
            module.activation = nn.Identity()
            module.add_module("inner", FusedLinear(module.inner, activation))
            module.add_module("outer", FusedLinear(module.outer))
        for name, child in list(module.named_children()):
            if isinstance(child, MultiHeadAttention):
                module.add_module(name, FusedAttention(child))
            elif isinstance(child, nn.Dropout):
                module.add_module(name, nn.Identity())  # the same in evaluation, at a fifth of the cost of a call
    return model


class FusedLinear(nn.Module):
    """A linear layer with its activation, for inference.

    Args:
        linear: whose weights it packs into oneDNN's layout.
        activation: "none", or what oneDNN calls it.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self._bias, self._activation = linear.bias.detach(), activation

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B N"]:
        """activation(x Wᵀ + b)."""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, self._activation, [], "none")


class FusedAttention(MultiHeadAttention):
    """Multi-head attention whose self-attention projects queries, keys and values in one product.

    Args:
        attention: whose weights it takes over.
    """

    def __init__(self, attention: MultiHeadAttention) -> None:
        nn.Module.__init__(self)
        self.n_heads, self.dropout, self.training = attention.n_heads, attention.dropout, False
        parts = (attention.query, attention.key, attention.value)
        self.query, self.key, self.value = parts
        self._widths = [part.out_features for part in parts]
        together = nn.Linear(self.query.in_features, sum(self._widths), device="meta")
        together.weight = nn.Parameter(torch.cat([part.weight for part in parts]))
        together.bias = nn.Parameter(torch.cat([part.bias for part in parts]))
        self._projection = FusedLinear(together)
        self.add_module("output", FusedLinear(attention.output))

    def project(
        self, x: Float[Tensor, "B T D"], query_pos: Tensor | None = None, key_pos: Tensor | None = None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T K"], Float[Tensor, "B H T V"]]:
        """Queries, keys and values; one product unless positions make their inputs differ."""
        if query_pos is not None or key_pos is not None:
            return super().project(x, query_pos, key_pos)
        query, key, value = self._projection(x).split_with_sizes(self._widths, dim=-1)
        return self._split(query), self._split(key), self._split(value)
