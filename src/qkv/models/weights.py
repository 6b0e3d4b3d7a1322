"""A model's weights: how they begin, and as a plain dictionary, which checkpoints and model directories store."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from qkv.errors import QkvError, one_line, shown

Model = TypeVar("Model", bound=nn.Module)


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


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are that would be filled with random numbers: there is nothing to fill on "meta".

    PyTorch would import hundreds of modules to find out, which takes seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return torch.empty(*args) if name == "randn" else func(*args, **(kwargs or {}))


def sketch(make: Callable[[], Model], where: str = "model") -> Model:
    """The model that `make` builds, with the shapes of its weights but no memory for them (PyTorch's device "meta").

    Raises:
        QkvError: `where` sizes are said to be that no weight can have.
    """
    try:
        with torch.device("meta"), _Undrawn():
            return make()
    except (RuntimeError, TypeError, OverflowError) as error:  # PyTorch, of products above 2^63
        raise QkvError(f"{where}: no model can have these sizes ({one_line(error)})") from None


def build(make: Callable[[], Model], weights: Mapping[str, Tensor], where: str) -> Model:
    """The model that `make` builds, with these weights, which it takes over: exactly those that `get_weights` gives.

    Nothing is computed or allocated by sizes that the weights have not, whatever `make` is told that they are. What a
    module computes and does not store, its `make_buffers` makes.

    Raises:
        QkvError: as of `sketch` and `set_weights`.
    """
    model = sketch(make, where)
    _check_fit(dict(model.named_parameters()), weights, where)
    for path, weight in weights.items():
        owner, _, name = path.rpartition(".")
        module = model.get_submodule(owner)
        like = module.get_parameter(name)
        setattr(module, name, nn.Parameter(weight.to(like.dtype), requires_grad=like.requires_grad))
    for module in model.modules():
        if isinstance(make_buffers := getattr(module, "make_buffers", None), Callable):
            make_buffers()
    return model


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Copy weights into the model, exactly the names and shapes that `get_weights` gives for it.

    Raises:
        QkvError: `where` a name is missing or unknown, or a shape differs.
    """
    parameters = dict(model.named_parameters())
    _check_fit(parameters, weights, where)
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def _check_fit(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor], where: str) -> None:
    for name in sorted(parameters.keys() ^ weights.keys()):
        said = "is missing" if name in parameters else "is not part of this model"
        raise QkvError(f"{where}: {shown(name)[1:-1]} {said}")
    for name, parameter in parameters.items():
        if parameter.shape != weights[name].shape:
            raise QkvError(f"{where}: {name} is {list(weights[name].shape)}, the model needs {list(parameter.shape)}")


def part_of(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights whose names begin with "`part`.", under what follows: one model of several in a file."""
    return {name.removeprefix(f"{part}."): weight for name, weight in weights.items() if name.startswith(f"{part}.")}
