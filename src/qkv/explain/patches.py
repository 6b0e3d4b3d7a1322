"""Where a Vision Transformer looks: attention rollout, and what each head reads, as maps over the picture."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qkv.explain.attention import rounded, without_dropout
from qkv.models.vit import ViT


@dataclass(frozen=True)
class PatchAttention:
    """Where the model looked on one picture. Each map is a grid of patches.

    Attributes:
        rollout: how much of each patch reaches the classes, through all layers; sums to 1.
        heads: what each head of each layer gives to each patch where the classes are read from.
    """

    rollout: Float[Tensor, "R C"]
    heads: Float[Tensor, "L H R C"]

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {"rollout": rounded(self.rollout.tolist()), "heads": rounded(self.heads.tolist())}


def attention_rollout(weights: Float[Tensor, "L H T T"]) -> Float[Tensor, "T T"]:
    """How much of each input token each output token is made of.

    The heads' mean of each layer, from the first on, is averaged with the identity, for the residual connection, and
    the layers are multiplied (Abnar and Zuidema 2020, section 3, equation 1).
    """
    identity = torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    layers = [0.5 * layer.mean(dim=0) + 0.5 * identity for layer in weights]
    return reduce(lambda before, layer: layer @ before, layers)


@torch.inference_mode()
def record_patches(model: ViT, image: Float[Tensor, "C H W"]) -> PatchAttention:
    """Run the model on one preprocessed picture, without dropout, and record where it looks.

    Where there is a class token, a head's map is its row of the attention. Otherwise it is the mean of all rows,
    weighted by how much the pooling reads of each.
    """
    recorded: dict[int, Tensor] = {}

    def recorder(layer: int, kind: str, weights: Tensor) -> None:
        recorded[layer] = weights[0].float()

    with without_dropout(model):
        tokens = model.embed(image[None].to(model.head.weight.device))
        read = model.pooling(model.encoder(tokens, recorder=recorder))[0].float()
    weights = torch.stack([recorded[layer] for layer in sorted(recorded)])
    rows, columns = (side // model.config.cell for side in image.shape[1:])
    first = int(model.class_token is not None)  # what goes to the class token is on no patch

    def on_grid(over_tokens: Tensor) -> Tensor:
        return over_tokens[..., first:].unflatten(-1, (rows, columns)).cpu()

    rollout = on_grid(read @ attention_rollout(weights))
    return PatchAttention(rollout / rollout.sum(), on_grid(torch.einsum("t,lhts->lhs", read, weights)))
