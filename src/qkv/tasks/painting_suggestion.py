"""Sensible sizes for drawing what a number of captioned pictures show, for training without a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkv.tasks.suggestion import Suggestion

_PARTS = 4
_CODES_BATCH = 64
_SMALL_GRID = 8
_TEXT_LENGTHS = (16, 32, 64, 128, 256)
_BYTES_PER_TOKEN = 2  # of a vocabulary that is learnt from captions alone; a letter of Korean has three


@dataclass(frozen=True)
class _Codebook:
    """What suits up to so many pictures: the more there are, the more codes find a use."""

    pictures: float
    codes: int
    width: int
    epochs: int


@dataclass(frozen=True)
class _Size:
    """What suits up to so many pictures: fewer pictures, fewer weights, more dropout, more epochs."""

    pictures: float
    d_model: int
    n_layers: int
    vocabulary: int
    dropout: float
    epochs: int


_CODEBOOKS = (
    _Codebook(pictures=3_000, codes=256, width=32, epochs=100),
    _Codebook(pictures=30_000, codes=512, width=64, epochs=40),
    _Codebook(pictures=300_000, codes=1024, width=64, epochs=15),
    _Codebook(pictures=float("inf"), codes=4096, width=128, epochs=5),
)
_SIZES = (
    _Size(pictures=3_000, d_model=128, n_layers=4, vocabulary=512, dropout=0.2, epochs=150),
    _Size(pictures=30_000, d_model=192, n_layers=6, vocabulary=2_000, dropout=0.1, epochs=60),
    _Size(pictures=300_000, d_model=256, n_layers=8, vocabulary=8_000, dropout=0.1, epochs=25),
    _Size(pictures=float("inf"), d_model=512, n_layers=12, vocabulary=16_000, dropout=0.0, epochs=10),
)


def suggest_codes(
    pictures: int, side: int, channels: int, on_accelerator: bool = False, initial: Mapping[str, Any] | None = None
) -> Suggestion:
    """Sizes for a discrete VAE, the first of the two models that drawing needs.

    Args:
        pictures: to train on.
        side: pixels of the shorter side of a typical picture.
        channels: 1 if all pictures are grey, else 3.
        on_accelerator: whether a GPU trains it. A CPU is given smaller pictures, and batches in parts that several
            processes can share.
        initial: config.json of the discrete VAE to start from, whose sizes are kept.
    """
    size = next(size for size in _CODEBOOKS if pictures <= size.pictures)
    model = _codebook(size, side, channels, on_accelerator) if initial is None else dict(initial["model"])
    epochs = size.epochs if initial is None else max(size.epochs // 5, 1)
    steps = max(pictures * epochs // _CODES_BATCH, 1000)
    parts = 1 if on_accelerator else _PARTS
    sections: dict[str, Any] = {
        "data": {"batch_size": _CODES_BATCH // parts, "augmentation": {"flip": True}},
        "model": model,
        "training": {**training(steps, parts), "weight_decay": 1e-4, "beta2": 0.999},
    }
    if model["quantiser"] == "vq":
        sections["penalty_warmup"] = 0  # nothing is drawn at random that would have to settle first
    else:  # of the model to start from
        sections |= {"penalty_warmup": steps // 10, "temperature_steps": steps // 2}
    if initial is not None:
        sections |= {name: initial["preprocessing"][name] for name in ("resize", "crop", "interpolation")}
    pixels, grid = model["image_size"], _grid(model)
    reason = (
        f"{pictures:,} pictures, mostly {side} pixels wide or high: read at {pixels} x {pixels} pixels, "
        f"{grid} x {grid} codes of {model['codes']:,}, {steps:,} steps of {_CODES_BATCH} pictures"
    )
    return Suggestion(sections, reason)


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


def _codebook(size: _Codebook, side: int, channels: int, on_accelerator: bool) -> dict[str, Any]:
    """A code for 4 x 4 pixels, which keeps eyes and letters apart; for 8 x 8 of pictures that would have too many."""
    choices = (28, 32, 64, 128, 256) if on_accelerator else (28, 32, 64)
    pixels = min((choice for choice in choices if choice >= side), default=choices[-1])
    return {
        "image_size": pixels,
        "channels": channels,
        "codes": size.codes,
        "d_code": 64,
        "width": size.width,
        "downsamplings": 2 if pixels <= 64 else 3,
        "blocks": 2,
        "quantiser": "vq",
        "reconstruction": "l1",
    }


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


def _grid(model: Mapping[str, Any]) -> int:
    return model["image_size"] // 2 ** model["downsamplings"]
