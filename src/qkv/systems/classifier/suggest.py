"""Sensible sizes for a number of pictures and their size, for training without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qkv.data.pictures.decode import is_picture
from qkv.data.pictures.measure import Measure, measure
from qkv.data.pictures.sources import PictureSource
from qkv.data.table import column_names
from qkv.reporter import Reporter
from qkv.systems import suggestion
from qkv.systems.classifier.saved import Saved
from qkv.systems.system import Asked, Suggested
from qkv.train.config import TrainingConfig

_BATCH = 128


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


def recognise(data: Sequence[Path], options: Mapping[str, str]) -> str | None:
    """What is there, if it is a classifier's: class folders, or a table with a label column; in a few words."""
    if len(data) != 1 or options:
        return None
    [path] = data
    if path.is_dir():
        inside = (folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith("."))
        classes = [folder.name for folder in inside if any(map(is_picture, folder.iterdir()))]
        return f"{len(classes):,} class folders" if len(classes) > 1 else None
    if "idx3" in path.name:
        return "pictures with labels in the format of MNIST"
    return "a table of pictures with labels" if {"image", "label"} <= set(column_names(path)) else None


def suggest(asked: Asked, reporter: Reporter) -> Suggested:
    """The recipe that suits labelled pictures; refuses what cannot be found, and pictures none of which can be read."""
    sources = suggestion.sources_of(PictureSource, asked)
    found = Measure.joined([suggestion.measured(one, partial(measure, one, True, reporter)) for one in sources])
    sections = sizes(found, asked.on_accelerator, asked.initial, suggestion.steps_asked_for(asked))
    return Suggested(
        sections=suggestion.with_corpora(sections, sources),
        reason=partial(reason, found),
        name=suggestion.name_of(asked.data[0]),
    )


def reason(found: Measure, config: Any, training: TrainingConfig) -> str:
    """What is trained on so many pictures, in one line, whoever chose it."""
    model = config.model
    return (
        f"{suggestion.read_at(found, model.image_size)}, {model.n_layers} layers of width {model.d_model}, "
        f"{suggestion.steps_of(training, config.data.batch_size, found.pictures)}"
    )


def sizes(
    found: Measure, on_accelerator: bool = False, initial: Saved | None = None, steps: int | None = None
) -> dict[str, Any]:
    """Sections of a recipe, without the corpus; for so many `steps` if they are given.

    A CPU is given smaller pictures, and batches in parts that several processes can share. The sizes of an `initial`
    classifier are kept; it needs fewer epochs and smaller steps than new weights.
    """
    pictures, side, channels = found.pictures, found.side, found.channels
    size = next(size for size in _SIZES if pictures <= size.pictures)
    new = suggestion.encoder(size.d_model, size.n_layers, side, channels, on_accelerator)
    model = new if initial is None else asdict(initial.model)
    epochs = size.epochs if initial is None else max(size.epochs // 5, 5)
    pixels = model["image_size"]
    steps = steps or max(pictures * epochs // _BATCH, 300)
    parts = 1 if on_accelerator else 4
    colour = model["channels"] == 3  # letters and digits mean something else in a mirror, and are mostly grey
    augmentation = {"flip": colour, "pad": pixels // 8, "rand_augment": 2 if colour else 0, "erase": 0.25}
    sections: dict[str, Any] = {
        "data": {"batch_size": _BATCH // parts, "augmentation": augmentation},
        "model": {**model, "drop_path": 0.1},
        "training": {
            **suggestion.training(steps, parts),
            "warmup": min(steps // 10, 1000),
            "layer_decay": 1.0 if initial is None else 0.75,
            "weight_decay": 0.05,
            "beta2": 0.999,
            "validate_every": max(steps // 20, 50),
        },
    }
    if initial is not None:
        shared = ("mean", "std", "resize", "crop", "interpolation")
        sections |= {name: getattr(initial.preprocessing, name) for name in shared}
    return sections
