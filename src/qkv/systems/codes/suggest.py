"""Sensible sizes for the codes of a number of pictures, for training without a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkv.systems.suggestion import Suggestion, _grid, training

_CODES_BATCH = 64


_PARTS = 4


@dataclass(frozen=True)
class _Codebook:
    """What suits up to so many pictures: the more there are, the more codes find a use."""

    pictures: float
    codes: int
    width: int
    epochs: int


_CODEBOOKS = (
    _Codebook(pictures=3_000, codes=256, width=32, epochs=100),
    _Codebook(pictures=30_000, codes=512, width=64, epochs=40),
    _Codebook(pictures=300_000, codes=1024, width=64, epochs=15),
    _Codebook(pictures=float("inf"), codes=4096, width=128, epochs=5),
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
