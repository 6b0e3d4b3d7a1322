"""A model's weights as a plain dictionary: what checkpoints and model directories store."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qkv.errors import QkvError


def get_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter once (tied ones under their first name), detached but not copied."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Copy weights into the model.

    Args:
        model: receives them.
        weights: exactly the names and shapes that `get_weights` gives for it.
        where: what to call their origin in an error.

    Raises:
        QkvError: a name is missing or unknown, or a shape differs.
    """
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ weights.keys()):
        raise QkvError(f"{where}: {name} is {'missing' if name in parameters else 'not part of this model'}")
    for name, parameter in parameters.items():
        if parameter.shape != weights[name].shape:
            raise QkvError(f"{where}: {name} is {list(weights[name].shape)}, the model needs {list(parameter.shape)}")
        parameter.copy_(weights[name])
