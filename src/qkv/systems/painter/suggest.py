"""Sensible sizes for drawing what a number of captioned pictures show, for training without a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkv.systems.suggestion import Suggestion, _grid, text_length, training

_PARTS = 4
_SMALL_GRID = 8


@dataclass(frozen=True)
class _Size:
    """What suits up to so many pictures: fewer pictures, fewer weights, more dropout, more epochs."""

    pictures: float
    d_model: int
    n_layers: int
    vocabulary: int
    dropout: float
    epochs: int


_SIZES = (
    _Size(pictures=3_000, d_model=128, n_layers=4, vocabulary=512, dropout=0.2, epochs=150),
    _Size(pictures=30_000, d_model=192, n_layers=6, vocabulary=2_000, dropout=0.1, epochs=60),
    _Size(pictures=300_000, d_model=256, n_layers=8, vocabulary=8_000, dropout=0.1, epochs=25),
    _Size(pictures=float("inf"), d_model=512, n_layers=12, vocabulary=16_000, dropout=0.0, epochs=10),
)


def suggest_painter(
    pictures: int,
    longest: int,
    codes: Mapping[str, Any],
    on_accelerator: bool = False,
    initial: Mapping[str, Any] | None = None,
) -> Suggestion:
    """Sizes for DALL-E's decoder, the second of the two models.

    Args:
        pictures: to train on.
        longest: bytes of the longest of their captions.
        codes: config.json of the discrete VAE.
        on_accelerator: whether a GPU trains it. A CPU takes batches in parts that several processes can share.
        initial: config.json of the painter to start from, whose sizes and vocabulary are kept. It needs fewer epochs
            and smaller steps than new weights.
    """
    size = next(size for size in _SIZES if pictures <= size.pictures)
    grid, vocabulary = _grid(codes["model"]), size.vocabulary
    model, epochs, peak = _decoder(size, longest, grid), size.epochs, 1e-3
    if initial is not None:
        model, vocabulary = {**initial["model"], "dropout": size.dropout}, initial["vocabulary"]
        epochs, peak = max(size.epochs // 5, 1), 3e-4
    batch = 128 if grid <= _SMALL_GRID else 64  # a step takes as long as it has codes
    steps = max(pictures * epochs // batch, 600)
    parts = 1 if on_accelerator else _PARTS
    sections: dict[str, Any] = {
        "data": {"batch_size": batch // parts, "text_length": model["text_length"]},
        "tokenizer": {"vocabulary": vocabulary},
        "model": model,
        "training": {**training(steps, parts), "learning_rate": peak, "weight_decay": 0.01, "beta2": 0.98},
    }
    reason = (
        f"{pictures:,} pictures, {grid} x {grid} codes each: captions of up to {model['text_length']} tokens, "
        f"{model['n_layers']} layers of width {model['d_model']}, dropout {model['dropout']}, {steps:,} steps of "
        f"{batch} pictures"
    )
    return Suggestion(sections, reason)


def _decoder(size: _Size, longest: int, grid: int) -> dict[str, Any]:
    return {
        "grid": grid,
        "text_length": text_length(longest),
        "d_model": size.d_model,
        "d_ff": 4 * size.d_model,
        "n_layers": size.n_layers,
        "n_heads": size.d_model // 32,
        "dropout": size.dropout,
    }
