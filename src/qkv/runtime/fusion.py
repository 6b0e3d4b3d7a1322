"""Inference on a CPU: weights in oneDNN's own layout, and what follows a product computed on the way out of it."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from qkv.nn import Block, FeedForward, MultiHeadAttention

Model = TypeVar("Model", bound=nn.Module)

# What oneDNN calls the activations that it computes on the way out of a product.
_ACTIVATIONS = {F.relu: "relu", F.gelu: "gelu", F.silu: "swish"}


def fused(model: Model) -> Model:
    """A copy of a model for inference, which gives the same numbers but for rounding.

    The model, in evaluation mode, shares its parameters with the copy, whose products hold theirs once more. It comes
    back itself where there is nothing to gain: on an accelerator, or without oneDNN.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if not on_cpu or model.training or not torch.backends.mkldnn.is_available():
        return model
    shared = {id(parameter): parameter for parameter in model.parameters()}
    model = copy.deepcopy(model, shared)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Block):
                module.add_module(name, FusedBlock(child))
            elif isinstance(child, nn.Dropout):
                module.add_module(name, nn.Identity())  # the same in evaluation, at a fifth of the cost of a call
    return model


class FusedLinear(nn.Module):
    """A linear layer with its activation, "none" or what oneDNN calls it; weights are packed into oneDNN's layout."""

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self._bias, self._activation = linear.bias.detach(), activation

    def forward(self, x: Float[Tensor, "*B D"], residual: Float[Tensor, "*B N"] | None = None) -> Float[Tensor, "*B N"]:
        """activation(x Wᵀ + b), or x Wᵀ + b + residual."""
        if residual is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, self._activation, [], "none")


class FusedBlock(Block):
    """A block whose residuals are added on the way out of the last product of each sub-layer."""

    def __init__(self, block: Block) -> None:
        nn.Module.__init__(self)
        self.cross, self.pre_norm, self.training = block.cross, block.pre_norm, False
        for name, child in block.named_children():
            self.add_module(name, child)
        last = [(self.self_norm, self.self_attention.output), (self.feed_forward_norm, self.feed_forward.outer)]
        self.self_attention = FusedAttention(self.self_attention)
        self.feed_forward = FusedFeedForward(self.feed_forward)
        if self.cross:
            last.append((self.cross_norm, self.cross_attention.output))
            self.cross_attention = FusedAttention(self.cross_attention)
        self._last = {norm: FusedLinear(linear) for norm, linear in last}  # each sub-layer has its own norm

    def _residual(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: nn.LayerNorm) -> Tensor:
        if self.pre_norm:
            return self._last[norm](sublayer(norm(x)), x)
        return norm(self._last[norm](sublayer(x), x))


class FusedFeedForward(FeedForward):
    """The feed-forward layer up to its last product, which `FusedBlock` takes."""

    def __init__(self, layer: FeedForward) -> None:
        nn.Module.__init__(self)
        self._inner = FusedLinear(layer.inner, _ACTIVATIONS[layer.activation])

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T F"]:
        """activation(x Wᵀ + b)."""
        return self._inner(x)


class FusedAttention(MultiHeadAttention):
    """Multi-head attention up to its last product, which `FusedBlock` takes; one product projects self-attention."""

    def __init__(self, attention: MultiHeadAttention) -> None:
        nn.Module.__init__(self)
        self.n_heads, self.dropout, self.training = attention.n_heads, attention.dropout, False
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        parts = (self.query, self.key, self.value)
        self._widths = [part.out_features for part in parts]
        together = nn.Linear(self.query.in_features, sum(self._widths), device="meta")
        together.weight = nn.Parameter(torch.cat([part.weight for part in parts]))
        together.bias = nn.Parameter(torch.cat([part.bias for part in parts]))
        self._projection = FusedLinear(together)

    def forward(
        self, x: Float[Tensor, "B T D"], context: Float[Tensor, "B S D"] | None = None, **options: Any
    ) -> Float[Tensor, "B T HV"]:
        """What the heads read, side by side."""
        return self.heads(x, context, **options)

    def project(
        self, x: Float[Tensor, "B T D"], query_pos: Tensor | None = None, key_pos: Tensor | None = None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T K"], Float[Tensor, "B H T V"]]:
        """Queries, keys and values; one product unless positions make their inputs differ."""
        if query_pos is not None or key_pos is not None:
            return super().project(x, query_pos, key_pos)
        query, key, value = self._projection(x).split_with_sizes(self._widths, dim=-1)
        return self._split(query), self._split(key), self._split(value)
