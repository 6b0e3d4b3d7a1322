"""Sensible sizes for telling which caption belongs to which picture, for training without a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qkv.data.captions.measure import CaptionMeasure
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.preprocessing import fitting
from qkv.reporter import Reporter
from qkv.systems import suggestion
from qkv.systems.scorer.saved import Saved
from qkv.systems.system import Asked, Suggested
from qkv.train.config import TrainingConfig

_PARTS = 4


@dataclass(frozen=True)
class _Size:
    """What suits up to so many pictures: fewer pictures, fewer weights and smaller batches, more dropout and epochs."""

    pictures: float
    d_model: int
    n_layers: int
    vocabulary: int
    dropout: float
    batch: int
    epochs: int


_SIZES = (
    _Size(pictures=3_000, d_model=64, n_layers=3, vocabulary=512, dropout=0.2, batch=64, epochs=150),
    _Size(pictures=30_000, d_model=128, n_layers=4, vocabulary=2_000, dropout=0.1, batch=128, epochs=60),
    _Size(pictures=300_000, d_model=192, n_layers=6, vocabulary=8_000, dropout=0.1, batch=128, epochs=40),
    _Size(pictures=float("inf"), d_model=384, n_layers=12, vocabulary=16_000, dropout=0.0, batch=128, epochs=10),
)


def recognise(data: Sequence[Path], options: Mapping[str, str]) -> str | None:
    """What is there, if it is pictures with captions; in a few words."""
    return None if options else suggestion.captions_at(data)


def suggest(asked: Asked, reporter: Reporter) -> Suggested:
    """The recipe that suits captioned pictures; a QkvError if there are none that can be read, or no captions."""
    sources = suggestion.sources_of(CaptionSource, asked)
    found = suggestion.measured_captions(sources, reporter)
    sections = sizes(found, asked.on_accelerator, asked.initial, suggestion.steps_asked_for(asked))
    then = 'when this is done: qkv draw PAINTER "A CAPTION" -n 16 --scorer {run}'
    name = f"{suggestion.name_of(asked.data[0])}-scorer"
    why = partial(reason, found)
    return Suggested(sections=suggestion.with_corpora(sections, sources), reason=why, name=name, next_step=then)


def reason(found: CaptionMeasure, config: Any, training: TrainingConfig) -> str:
    """What is trained on so many pictures, in one line, whoever chose it."""
    image, text, batch = config.model.image, config.model.text, config.data.batch_size
    return (
        f"{suggestion.read_at(found, image.image_size)}, {image.n_layers} layers of width {image.d_model}; captions of "
        f"up to {text.text_length} tokens, {text.n_layers} layers of width {text.d_model}; "
        f"{suggestion.steps_of(training, batch, found.pictures, 'pairs')}, each told from {batch}"
    )


def sizes(
    found: CaptionMeasure, on_accelerator: bool = False, initial: Saved | None = None, steps: int | None = None
) -> dict[str, Any]:
    """Sections of a recipe, without the corpus; for so many `steps` if they are given.

    A CPU is given smaller pictures, and the batches of a step apart, so that several processes can share them; a GPU
    has them in one, where a picture is told from more captions. A scorer to start from keeps its sizes and vocabulary,
    and needs fewer epochs and smaller steps than new weights.
    """
    pictures = found.pictures
    size = next(size for size in _SIZES if pictures <= size.pictures)
    model = _model(size, found, on_accelerator)
    vocabulary = suggestion.vocabulary(size.vocabulary, found.vocabulary)
    epochs, peak = size.epochs, 1e-3
    if initial is not None:
        model, vocabulary = asdict(initial.model), initial.vocabulary
        epochs, peak = max(size.epochs // 5, 1), 3e-4
    text = model["text"]
    parts, batch = (1, _PARTS * size.batch) if on_accelerator else (_PARTS, size.batch)
    steps = steps or max(pictures * epochs // (parts * batch), 300)
    sections: dict[str, Any] = {
        "data": {"batch_size": batch, "text_length": text["text_length"]},
        "tokenizer": {"vocabulary": vocabulary},
        "model": model,
        "training": {**suggestion.training(steps, parts), "learning_rate": peak, "weight_decay": 0.05, "beta2": 0.98},
    }
    if initial is not None:
        sections |= fitting(initial.preprocessing)
    return sections


def _model(size: _Size, found: CaptionMeasure, on_accelerator: bool) -> dict[str, Any]:
    """An encoder of pictures as a classifier's, and a shallower one of captions, which are short."""
    image = suggestion.encoder(size.d_model, size.n_layers, found.side, found.channels, on_accelerator)
    text = {name: image[name] for name in ("d_model", "d_ff", "n_heads")}
    text |= {
        "text_length": suggestion.text_length(found.longest),
        "n_layers": max(size.n_layers // 2, 2),
        "dropout": size.dropout,
    }
    return {"image": {**image, "pool": "mean", "dropout": size.dropout}, "text": text, "d_shared": size.d_model}
