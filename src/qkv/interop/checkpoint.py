"""What every reader of a foreign checkpoint gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from qkv.config import parse
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError
from qkv.interop.names import zero_biases
from qkv.interop.parity import Reference
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import set_weights


@dataclass(frozen=True)
class Checkpoint:
    """A classifier of another library as ours.

    Attributes:
        kind: what it was, in words.
        model: ready to use.
        labels: in the order of the logits.
        preprocessing: from a picture to what the model reads.
        reference: the original, to compare with.
    """

    kind: str
    model: ViT
    labels: list[str]
    preprocessing: Preprocessing
    reference: Reference


def build(
    where: str, sizes: Mapping[str, Any], preprocessing: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[ViT, Preprocessing]:
    """Our model with foreign weights under our names, in which biases of queries, keys and values may be missing.

    `sizes` are fields of `ViTConfig`, `preprocessing` those of `Preprocessing` but for its channels, with mean 0 and
    deviation 1 unless given. QkvError tells what is missing or does not fit together.
    """
    config = parse(ViTConfig, sizes, where)
    scale = {"mean": (0.0,) * config.channels, "std": (1.0,) * config.channels}
    fields = {"channels": config.channels, **scale, **preprocessing}
    prepared = parse(Preprocessing, fields, f"{where}: preprocessing")
    if prepared.size % config.cell:
        raise QkvError(f"{where}: pictures of {prepared.size} pixels are no multiple of a patch's {config.cell}")
    if "head.weight" not in weights:
        raise QkvError(f"{where} has no classification head: import a checkpoint that was trained to classify")
    model = ViT(config, len(weights["head.weight"]))
    set_weights(model, {**zero_biases(weights, config.n_layers), **weights}, where)
    return model.eval(), prepared
