"""Sensible sizes for the codes of a number of pictures, for training without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qkv.data.pictures.decode import is_picture
from qkv.data.pictures.measure import Measure, measure
from qkv.data.pictures.preprocessing import fitting
from qkv.data.pictures.sources import PictureSource
from qkv.data.table import column_names
from qkv.models.dvae import DVAEConfig
from qkv.reporter import Reporter
from qkv.systems.codes.saved import Saved
from qkv.systems.suggestion import (
    look_inside,
    measured,
    name_of,
    next_step,
    read_at,
    sources_of,
    steps_asked_for,
    steps_of,
    with_corpora,
)
from qkv.systems.suggestion import training as loop
from qkv.systems.system import Asked, Suggested
from qkv.train.config import TrainingConfig

_BATCH = 64
_PARTS = 4


@dataclass(frozen=True)
class _Size:
    """What suits up to so many pictures: the more there are, the more codes find a use."""

    pictures: float
    codes: int
    width: int
    epochs: int


_SIZES = (
    _Size(pictures=3_000, codes=256, width=32, epochs=100),
    _Size(pictures=30_000, codes=512, width=64, epochs=40),
    _Size(pictures=300_000, codes=1024, width=64, epochs=15),
    _Size(pictures=float("inf"), codes=4096, width=128, epochs=5),
)


def recognise(data: Sequence[Path], options: Mapping[str, str]) -> str | None:
    """What is there, if it is any pictures; in a few words."""
    if len(data) != 1 or options:
        return None
    [path] = data
    if path.is_dir():
        inside = (folder / name for folder, names in look_inside(path) for name in names)
        return "pictures" if any(map(is_picture, inside)) else None
    if "idx3" in path.name:
        return "pictures in the format of MNIST"
    if path.suffix.lower() == ".tar":
        return "a shard"
    return "a table of pictures" if path.suffix.lower() != ".jsonl" and "image" in column_names(path) else None


def suggest(asked: Asked, reporter: Reporter) -> Suggested:
    """The recipe that suits pictures, whatever is on them; a QkvError if there are none that can be read."""
    sources = sources_of(PictureSource, asked)
    found = Measure.joined([measured(one, partial(measure, one, False, reporter)) for one in sources])
    sections = sizes(found, asked.on_accelerator, asked.initial, steps_asked_for(asked))
    then = next_step("once each picture has captions: qkv train {data} --system painter --codes {run}", asked.data[0])
    name = f"{name_of(asked.data[0])}-codes"
    why = partial(reason, found)
    return Suggested(sections=with_corpora(sections, sources), reason=why, name=name, next_step=then)


def reason(found: Measure, config: Any, training: TrainingConfig) -> str:
    """What is trained on so many pictures, in one line, whoever chose it."""
    model = config.model
    return (
        f"{read_at(found, model.image_size)}, {model.grid} x {model.grid} codes of {model.codes:,}, "
        f"{steps_of(training, config.data.batch_size, found.pictures)}"
    )


def sizes(
    found: Measure, on_accelerator: bool = False, initial: Saved | None = None, steps: int | None = None
) -> dict[str, Any]:
    """Sections of a recipe, without the corpus; for so many `steps` if they are given.

    A CPU is given smaller pictures, and batches in parts that several processes can share. The sizes of a model to
    start from are kept.
    """
    pictures = found.pictures
    size = next(size for size in _SIZES if pictures <= size.pictures)
    model = _codebook(size, found.side, found.channels, on_accelerator) if initial is None else initial.model
    epochs = size.epochs if initial is None else max(size.epochs // 5, 1)
    steps = steps or max(pictures * epochs // _BATCH, 1000)
    parts = 1 if on_accelerator else _PARTS
    sections: dict[str, Any] = {
        "data": {"batch_size": _BATCH // parts, "augmentation": {"flip": True}},
        "model": asdict(model),
        "training": {**loop(steps, parts), "weight_decay": 1e-4, "beta2": 0.999},
    }
    if model.quantiser == "vq":
        sections["penalty_warmup"] = 0  # nothing is drawn at random that would have to settle first
    else:  # of the model to start from
        sections |= {"penalty_warmup": steps // 10, "temperature_steps": steps // 2}
    if initial is not None:
        sections |= fitting(initial.preprocessing)
    return sections


def _codebook(size: _Size, side: int, channels: int, on_accelerator: bool) -> DVAEConfig:
    """A code for 4 x 4 pixels, which keeps eyes and letters apart; for 8 x 8 of pictures that would have too many."""
    choices = (28, 32, 64, 128, 256) if on_accelerator else (28, 32, 64)
    pixels = min((choice for choice in choices if choice >= side), default=choices[-1])
    return DVAEConfig(
        image_size=pixels,
        channels=channels,
        codes=size.codes,
        width=size.width,
        downsamplings=2 if pixels <= 64 else 3,
        quantiser="vq",
        reconstruction="l1",
    )
