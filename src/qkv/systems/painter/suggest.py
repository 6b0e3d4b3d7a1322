"""Sensible sizes for drawing what a number of captioned pictures show, for training without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from qkv.data.captions.measure import CaptionMeasure
from qkv.data.captions.sources import CaptionSource
from qkv.errors import QkvError
from qkv.model_directory import find_model, read_saved
from qkv.models.dalle import DalleConfig
from qkv.reporter import Reporter
from qkv.systems import suggestion
from qkv.systems.codes import SYSTEM as CODES
from qkv.systems.codes.saved import Saved as SavedCodes
from qkv.systems.painter.saved import Saved
from qkv.systems.registry import check_system
from qkv.systems.system import Asked, Suggested
from qkv.train.config import TrainingConfig

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


def recognise(data: Sequence[Path], options: Mapping[str, str]) -> str | None:
    """What is there, if it is pictures with captions; in a few words."""
    return None if options.keys() - {"codes"} else suggestion.captions_at(data)


def suggest(asked: Asked, reporter: Reporter) -> Suggested:
    """The recipe that suits captioned pictures; a QkvError where these, their captions or their codes are missing."""
    sources, codes = suggestion.sources_of(CaptionSource, asked), asked.options.get("codes", "")
    first = suggestion.next_step("qkv train {data} --system codes --out CODES", asked.data[0]).format()
    if not codes:
        raise QkvError(f"a painter needs --codes, the codes that it draws with; train them first: {first}")
    check_system(codes, CODES, "make codes of pictures", f"train one that can: {first}")
    grid = read_saved(find_model(codes), SavedCodes).model.grid
    found = suggestion.measured_captions(sources, reporter)
    sections = sizes(found, grid, asked.on_accelerator, asked.initial, suggestion.steps_asked_for(asked))
    sections = {"codes": codes, **suggestion.with_corpora(sections, sources)}
    name, then = suggestion.name_of(asked.data[0]), 'when this is done: qkv draw {run} "A CAPTION"'
    return Suggested(sections=sections, reason=partial(reason, found), name=name, next_step=then)


def reason(found: CaptionMeasure, config: Any, training: TrainingConfig) -> str:
    """What is trained on so many pictures, in one line, whoever chose it."""
    model = config.model
    return (
        f"{found.pictures:,} pictures, {model.grid} x {model.grid} codes each: captions of up to {model.text_length} "
        f"tokens, {model.n_layers} layers of width {model.d_model}, dropout {model.dropout}, "
        f"{suggestion.steps_of(training, config.data.batch_size, found.pictures)}"
    )


def sizes(
    found: CaptionMeasure,
    grid: int,
    on_accelerator: bool = False,
    initial: Saved | None = None,
    steps: int | None = None,
) -> dict[str, Any]:
    """Sections of a recipe, without codes and corpus; for so many `steps` if they are given.

    A CPU takes batches in parts that several processes can share. A painter to start from keeps its sizes and
    vocabulary, and needs fewer epochs and smaller steps than new weights.
    """
    pictures = found.pictures
    size = next(size for size in _SIZES if pictures <= size.pictures)
    model = DalleConfig(
        grid=grid,
        text_length=suggestion.text_length(found.longest),
        d_model=size.d_model,
        d_ff=4 * size.d_model,
        n_layers=size.n_layers,
        n_heads=size.d_model // 32,
        dropout=size.dropout,
    )
    vocabulary = suggestion.vocabulary(size.vocabulary, found.vocabulary)
    epochs, peak = size.epochs, 1e-3
    if initial is not None:
        model, vocabulary = replace(initial.model, dropout=size.dropout), initial.vocabulary
        epochs, peak = max(size.epochs // 5, 1), 3e-4
    batch = 128 if grid <= _SMALL_GRID else 64  # a step takes as long as it has codes
    steps = steps or max(pictures * epochs // batch, 600)
    parts = 1 if on_accelerator else _PARTS
    sections: dict[str, Any] = {
        "data": {"batch_size": batch // parts, "text_length": model.text_length},
        "tokenizer": {"vocabulary": vocabulary},
        "model": asdict(model),
        "training": {**suggestion.training(steps, parts), "learning_rate": peak, "weight_decay": 0.01, "beta2": 0.98},
    }
    return sections
