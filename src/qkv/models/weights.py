"""A model's weights: how they begin, and as a plain dictionary, which checkpoints and model directories store."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qkv.errors import QkvError


def initialise(model: nn.Module) -> None:
    """Draw the weights of all linear layers, convolutions and embeddings; biases are zero.

    Linear layers: Glorot & Bengio 2010, equation 16. Convolutions: He et al. 2015, equation 10. Embeddings: normal,
    such that a vector's expected length is 1.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)


def get_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter once (tied ones under their first name), detached but not copied."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def count(weights: Mapping[str, Tensor]) -> int:
    """Number of parameters."""
    return sum(weight.numel() for weight in weights.values())


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Copy weights into the model, exactly the names and shapes that `get_weights` gives for it.

    Raises:
        QkvError: `where` a name is missing or unknown, or a shape differs.
    """
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ weights.keys()):
        raise QkvError(f"{where}: {name} is {'missing' if name in parameters else 'not part of this model'}")
    for name, parameter in parameters.items():
        if parameter.shape != weights[name].shape:
            raise QkvError(f"{where}: {name} is {list(weights[name].shape)}, the model needs {list(parameter.shape)}")
        parameter.copy_(weights[name])


def part_of(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights whose names begin with "`part`.", under what follows: one model of several in a file."""
    return {name.removeprefix(f"{part}."): weight for name, weight in weights.items() if name.startswith(f"{part}.")}
