"""What suggestions of several systems share."""

import math
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml

from qkv.config import assign, flat, parse
from qkv.data.captions.measure import CaptionMeasure, measure_captions
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.decode import is_picture
from qkv.data.pictures.measure import Measure
from qkv.data.pictures.sources import PictureSource
from qkv.data.table import MissingColumn, column_names
from qkv.errors import QkvError
from qkv.reporter import Reporter
from qkv.systems.system import Asked
from qkv.train.config import TrainingConfig

Source = TypeVar("Source", PictureSource, CaptionSource)
Corpus = TypeVar("Corpus")
Found = TypeVar("Found")

_TAKEN_FOR_GRANTED = {"caption": "captions", "image": "image_column", "label": "label_column"}
"""Columns that a table has unless the field of its source says otherwise."""
_FOLDERS = 100  # that are looked into
_TEXT_LENGTHS = (16, 32, 64, 128, 256)

_VOCABULARY_STEP = 500
_BYTES_PER_TOKEN = 2  # of a vocabulary that is learnt from captions alone; a letter of Korean has three


def text_length(longest: int) -> int:
    """Tokens that a model should read of captions, the longest of which has so many bytes."""
    tokens = longest // _BYTES_PER_TOKEN
    return next((length for length in _TEXT_LENGTHS if length >= tokens), _TEXT_LENGTHS[-1])


def vocabulary(usual: int, needed: int) -> int:
    """The usual size of a vocabulary, or a larger one where the characters of the text need that (Chinese, Korean)."""
    return usual if needed <= usual else -(-needed // _VOCABULARY_STEP) * _VOCABULARY_STEP


def training(steps: int, parts: int) -> dict[str, Any]:
    """The loop for so many steps, each of several batches; averages and validations follow from their number."""
    return {
        "max_steps": steps,
        "accumulate": parts,
        "learning_rate": 1e-3,
        "warmup": min(steps // 10, 500),
        "schedule": "cosine",
        "ema": min(0.999, max(0.0, 1 - 10 / steps)),
        "validate_every": max(steps // 10, 50),
    }


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


def sources_of(kind: type[Source], asked: Asked) -> list[Source]:
    """What to train on: what the command line means, or what it says of it with `--set data.train=[...]`.

    Refuses more than one place, and one that holds nothing of this kind.
    """
    if len(asked.data) != 1:
        named = ", ".join(map(str, asked.data)) or "none"
        raise QkvError(f"name one folder or file of pictures, not {named}; a recipe may name several")
    return corpora_of(kind, asked) or [kind.of(asked.data[0])]


def corpora_of(kind: type[Corpus], asked: Asked) -> list[Corpus]:
    """What `--set data.train=[...]` says to train on; nothing without it."""
    given = assigned(asked, "data.train")
    corpora = given if isinstance(given, list) else []  # what else it may be, the recipe refuses
    return [parse(kind, corpus, "--set data.train") for corpus in corpora]


def assigned(asked: Asked, field: str) -> Any:
    """The value that `--set` gives a field, such as "model.kind"; None without one."""
    said = [assignment for assignment in asked.assignments if assignment.startswith(f"{field}=")]
    return flat(assign({}, said)).get(field)


def steps_asked_for(asked: Asked) -> int | None:
    """The number of steps that `--set` gives; all that depends on it is suggested for these."""
    steps = assigned(asked, "training.max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None  # what else it may be, the recipe refuses


def epochs(number: float) -> str:
    """So many epochs, for a person."""
    return f"{number:,.{0 if number >= 1 else 2}f} epochs"


def read_at(found: Measure, pixels: int) -> str:
    """What pictures are like and at what size they are read, for a person."""
    said = f"{found.pictures:,} pictures, mostly {found.side} pixels wide or high"
    return f"{said}: read at {pixels} x {pixels} pixels"


def steps_of(training: TrainingConfig, batch_size: int, pictures: int, what: str = "pictures") -> str:
    """How long training is, for a person; a step has all its batches."""
    batch = batch_size * training.accumulate
    return f"{training.max_steps:,} steps of {batch} {what} ({epochs(training.max_steps * batch / pictures)})"


def measured(source: PictureSource | CaptionSource, measure: Callable[[], Found]) -> Found:
    """What measuring a source finds; where it lacks a column that nobody named, the error says how to name it."""
    try:
        return measure()
    except MissingColumn as error:
        values = {field.name: (getattr(source, field.name), field.default) for field in fields(source)}
        given = {name: value for name, (value, default) in values.items() if value != default}
        name = _TAKEN_FOR_GRANTED.get(error.column)
        if name is None or name in given:
            raise
        style: Any = {"default_flow_style": True, "sort_keys": False, "allow_unicode": True, "width": math.inf}
        corpora = yaml.safe_dump([{**given, name: "COLUMN"}], **style).strip()
        how = f"name the one that stands for it, with --set {shlex.quote(f'data.train={corpora}')}"
        raise QkvError(f"{error.said}, but {', '.join(error.known)}: {how}") from None


def measured_captions(sources: Sequence[CaptionSource], reporter: Reporter) -> CaptionMeasure:
    """What all of several sources of captioned pictures are like; errors as of `measured`."""
    return CaptionMeasure.joined([measured(one, partial(measure_captions, one, reporter)) for one in sources])


def with_corpora(sections: Mapping[str, Any], sources: Sequence[PictureSource | CaptionSource]) -> dict[str, Any]:
    """Sections of a recipe with the corpora that they are for."""
    corpora = [{name: value for name, value in asdict(source).items() if value is not None} for source in sources]
    return {**sections, "data": {"train": corpora, **sections["data"]}}


def name_of(data: Path) -> str:
    """A name for a run on some data."""
    return data.resolve().name.split(".")[0]


def captions_at(data: Sequence[Path]) -> str | None:
    """What is there, if it is pictures with captions: .txt files beside them, a table or a shard; in a few words."""
    if len(data) != 1:
        return None
    [path] = data
    if path.is_dir():
        captioned = any(_has_captions(folder, names) for folder, names in look_inside(path))
        return "pictures with captions beside them" if captioned else None
    if path.suffix.lower() == ".tar":
        return "a shard"
    return "a table of pictures with captions" if {"image", "caption"} <= set(column_names(path)) else None


def look_inside(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and some of those in it, each with the names of its files."""
    return ((Path(folder), names) for folder, _, names in islice(os.walk(path), _FOLDERS))


def _has_captions(folder: Path, names: Sequence[str]) -> bool:
    texts = {name.removesuffix(".txt") for name in names if name.endswith(".txt")}
    return any(Path(name).stem in texts and is_picture(folder / name) for name in names)


def next_step(text: str, data: Path) -> str:
    """The text of `Suggested.next_step`, with the data that is trained on for {data}."""
    quoted = shlex.quote(str(data)).replace("{", "{{").replace("}", "}}")
    return text.replace("{data}", quoted)
