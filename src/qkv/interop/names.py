"""Weights of another library under our names."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from qkv.errors import QkvError


def rename(name: str, modules: Mapping[str, str], layer: re.Pattern[str], parts: Mapping[str, str]) -> str | None:
    """Our name of a weight such as "blocks.3.norm1.weight", or None if our ViT has none like it.

    `layer` matches the front of a name in a layer, with the layer's number as group 1. `parts` has our name for what
    follows it, `modules` for what stands outside the layers, both without the last ".weight" or ".bias".
    """
    stem, dot, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        return modules.get(name)
    found = layer.match(stem)
    ours = parts.get(stem[found.end() :]) if found else modules.get(stem)
    if ours is None:
        return None
    return f"encoder.blocks.{found[1]}.{ours}{dot}{kind}" if found else f"{ours}{dot}{kind}"


def zero_biases(weights: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """The biases of queries, keys and values that a checkpoint made without them lacks: adding zero changes nothing."""
    attentions = [f"encoder.blocks.{layer}.self_attention" for layer in range(n_layers)]
    names = [f"{attention}.{part}" for attention in attentions for part in ("query", "key", "value")]
    missing = [name for name in names if f"{name}.weight" in weights and f"{name}.bias" not in weights]
    return {f"{name}.bias": torch.zeros(len(weights[f"{name}.weight"])) for name in missing}


def refuse(where: str, features: Iterable[str]) -> None:
    """Raise QkvError if a checkpoint has any features, in words, that our ViT has no place for."""
    if named := list(dict.fromkeys(features)):
        listed = ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")
        raise QkvError(f"{where} cannot be imported: qkv's ViT has no place for its {listed}")
