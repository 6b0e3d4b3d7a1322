"""Sensible sizes for a number of pictures and their size, for training without a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkv.systems.suggestion import Suggestion, encoder

_BATCH = 128
_PARTS = 4


@dataclass(frozen=True)
class _Size:
    """What suits up to so many pictures: fewer pictures, fewer weights, more epochs."""

    pictures: float
    d_model: int
    n_layers: int
    epochs: int


_SIZES = (
    _Size(pictures=3_000, d_model=128, n_layers=4, epochs=150),
    _Size(pictures=30_000, d_model=128, n_layers=6, epochs=60),
    _Size(pictures=300_000, d_model=192, n_layers=6, epochs=40),
    _Size(pictures=float("inf"), d_model=384, n_layers=12, epochs=90),
)


def suggest_classifier(
    pictures: int, side: int, channels: int, on_accelerator: bool = False, initial: Mapping[str, Any] | None = None
) -> Suggestion:
    """Sizes for a classifier.

    Args:
        pictures: to train on.
        side: pixels of the shorter side of a typical picture.
        channels: 1 if all pictures are grey, else 3.
        on_accelerator: whether a GPU trains it. A CPU is given smaller pictures, and batches in parts that several
            processes can share.
        initial: config.json of the classifier to start from, whose sizes are kept. It needs fewer epochs and smaller
            steps than new weights.
    """
    size = next(size for size in _SIZES if pictures <= size.pictures)
    new = encoder(size.d_model, size.n_layers, side, channels, on_accelerator)
    model = new if initial is None else dict(initial["model"])
    epochs = size.epochs if initial is None else max(size.epochs // 5, 5)
    pixels = model["image_size"]
    steps = max(pictures * epochs // _BATCH, 300)
    parts = 1 if on_accelerator else _PARTS
    sections: dict[str, Any] = {
        "data": {
            "batch_size": _BATCH // parts,
            # Letters and digits mean something else in a mirror, and are mostly grey.
            "augmentation": {
                "flip": model["channels"] == 3,
                "pad": pixels // 8,
                "rand_augment": 2 if model["channels"] == 3 else 0,
                "erase": 0.25,
            },
        },
        "model": {**model, "drop_path": 0.1},
        "training": {
            "max_steps": steps,
            "accumulate": parts,
            "warmup": min(steps // 10, 1000),
            "learning_rate": 1e-3,
            "layer_decay": 1.0 if initial is None else 0.75,
            "schedule": "cosine",
            "weight_decay": 0.05,
            "beta2": 0.999,
            "ema": min(0.999, 1 - 10 / steps),
            "validate_every": max(steps // 20, 50),
        },
    }
    if initial is not None:
        shared = ("mean", "std", "resize", "crop", "interpolation")
        sections |= {name: initial["preprocessing"][name] for name in shared}
    reason = (
        f"{pictures:,} pictures, mostly {side} pixels wide or high: read at {pixels} x {pixels} pixels, "
        f"{model['n_layers']} layers of width {model['d_model']}, {steps:,} steps of {_BATCH} pictures "
        f"({steps * _BATCH / pictures:,.0f} epochs)"
    )
    return Suggestion(sections, reason)
