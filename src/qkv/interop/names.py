"""Weights of another library under our names."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from qkv.errors import QkvError


def rename(name: str, modules: Mapping[str, str], layer: re.Pattern[str], parts: Mapping[str, str]) -> str | None:
    """Our name of a weight, or None if our ViT has none like it.

    Args:
        name: in the other library, such as "blocks.3.norm1.weight".
        modules: our name for each of theirs outside the layers, without the last ".weight" or ".bias".
        layer: matches the front of a name in a layer; group 1 is the layer's number.
        parts: our name for each of theirs in a layer, likewise.
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
    names = [
        f"encoder.blocks.{layer}.self_attention.{part}"
        for layer in range(n_layers)
        for part in ("query", "key", "value")
    ]
    return {
        f"{name}.bias": torch.zeros(len(weights[f"{name}.weight"]))
        for name in names
        if f"{name}.weight" in weights and f"{name}.bias" not in weights
    }


def refuse(where: str, features: Iterable[str]) -> None:
    """Raise if a checkpoint has anything that our ViT has no place for.

    Args:
        where: the checkpoint.
        features: what is in the way, in words.

    Raises:
        QkvError: there is something.
    """
    if named := list(dict.fromkeys(features)):
        listed = ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")
        raise QkvError(f"{where} cannot be imported: qkv's ViT has no place for its {listed}")
