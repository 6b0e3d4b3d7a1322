"""AdamW, its learning rate as a pure function of the step, and a moving average of the weights."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qkv.models.weights import get_weights, set_weights
from qkv.train.config import TrainingConfig

_BLOCK = re.compile(r"\bblocks\.(\d+)\.")


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The rate of optimizer step `step`, counted from 1.

    `inverse_sqrt` is equation 3 of Vaswani et al. 2017, scaled so that its peak is `config.learning_rate`.
    """
    if step < config.warmup:
        return config.learning_rate * step / config.warmup
    if config.schedule == "inverse_sqrt":
        return config.learning_rate * math.sqrt(max(config.warmup, 1) / step)
    progress = (step - config.warmup) / (config.max_steps - config.warmup)
    remaining = (1 + math.cos(math.pi * progress)) / 2 if config.schedule == "cosine" else 1 - progress
    return config.learning_rate * remaining


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices, but neither biases nor norms.

    Each group's `scale` is what its learning rate is to be multiplied by: `layer_decay` to the power of its distance
    from the output (Bao et al. 2021, BEiT, appendix).
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for parameter, scale in zip(model.parameters(), _scales(model, config.layer_decay), strict=True):
        is_matrix = parameter.dim() > 1
        group = {"params": [], "scale": scale, "weight_decay": config.weight_decay if is_matrix else 0.0}
        groups.setdefault((-scale, not is_matrix), group)["params"].append(parameter)
    sets, betas = [groups[key] for key in sorted(groups)], (config.beta1, config.beta2)
    return torch.optim.AdamW(sets, lr=config.learning_rate, betas=betas, eps=1e-9, fused=True)


def _scales(model: nn.Module, decay: float) -> list[float]:
    """For each parameter, `decay` to the power of the layers above it. Embeddings lie lowest, heads highest."""
    blocks = [_BLOCK.search(name) for name, _ in model.named_parameters()]
    top = max((int(found[1]) for found in blocks if found), default=-1) + 2
    depth, depths = 0, []
    for found in blocks:
        if found:
            depth = int(found[1]) + 1
        elif depth:
            depth = top
        depths.append(depth)
    return [decay ** (top - depth) for depth in depths]


class WeightAverage:
    """Exponential moving average of a model's weights.

    `decay` is the share of the old average that an update keeps; less in the first steps, which are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights = {name: weight.clone() for name, weight in get_weights(model).items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step`."""
        keep = min(self.decay, (1 + step) / (10 + step))
        averages, weights = list(self.weights.values()), list(get_weights(self.model).values())
        torch._foreach_lerp_(averages, weights, 1 - keep)  # pyright: ignore[reportPrivateImportUsage]


@contextmanager
def using_weights(model: nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Run a block with other weights in the model, which then gets its own back, bit for bit. None changes nothing."""
    if weights is None:
        yield
        return
    own = {name: weight.clone() for name, weight in get_weights(model).items()}
    set_weights(model, weights)
    try:
        yield
    finally:
        set_weights(model, own)
