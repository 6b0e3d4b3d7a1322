"""What suggestions of several systems share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Suggestion:
    """A configuration and the reason for it.

    Attributes:
        sections: `data`, `tokenizer`, `model` and `training` of a recipe, without the corpus.
        reason: one line for the user.
    """

    sections: dict[str, Any]
    reason: str


_TEXT_LENGTHS = (16, 32, 64, 128, 256)

_BYTES_PER_TOKEN = 2  # of a vocabulary that is learnt from captions alone; a letter of Korean has three


def text_length(longest: int) -> int:
    """Tokens that a model should read of captions, the longest of which has so many bytes."""
    tokens = longest // _BYTES_PER_TOKEN
    return next((length for length in _TEXT_LENGTHS if length >= tokens), _TEXT_LENGTHS[-1])


def training(steps: int, parts: int) -> dict[str, Any]:
    """The loop for so many steps, each of several batches; averages and validations follow from their number."""
    return {
        "max_steps": steps,
        "accumulate": parts,
        "learning_rate": 1e-3,
        "warmup": min(steps // 10, 500),
        "schedule": "cosine",
        "ema": min(0.999, 1 - 10 / steps),
        "validate_every": max(steps // 10, 50),
    }


def _grid(model: Mapping[str, Any]) -> int:
    return model["image_size"] // 2 ** model["downsamplings"]


def encoder(d_model: int, n_layers: int, side: int, channels: int, on_accelerator: bool) -> dict[str, Any]:
    """A stem that halves twice, then patches that leave a grid of about 8 x 8 on a CPU and 16 x 16 on a GPU."""
    choices = (28, 32, 64, 128) if on_accelerator else (28, 32, 64)
    pixels = min((choice for choice in choices if choice >= side), default=choices[-1])
    grid = 16 if on_accelerator and pixels > 64 else 8
    return {
        "image_size": pixels,
        "channels": channels,
        "stem": [d_model // 2, d_model],
        "patch_size": max(pixels // 4 // grid, 1),
        "pool": "sequence",
        "d_model": d_model,
        "d_ff": 2 * d_model,
        "n_layers": n_layers,
        "n_heads": d_model // 32,
        "dropout": 0.1,
    }
