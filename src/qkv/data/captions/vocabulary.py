"""The vocabulary of captions, learnt once and kept: a model's weights depend on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.captions.sources import CaptionSource
from qkv.data.captions.store import Captions
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.data.text.vocabulary import keep_vocabulary

_FILE = "tokenizer.model"
_LINES = 500_000


def learn_tokenizer(
    config: TokenizerConfig,
    sources: Sequence[CaptionSource],
    captions: Captions,
    pictures: NDArray[np.int64],
    cache: Path,
) -> Tokenizer:
    """The vocabulary in `cache`, or a new one. It is kept when the captions change.

    Args:
        config: kind and size.
        sources: where the captions of training come from, by which the vocabulary is known.
        captions: all of them; those of these sources first.
        pictures: those that are trained on; only their captions are learnt from, of each language equally many at most.
        cache: a folder.

    Raises:
        QkvError: the captions do not suit the configuration.
    """
    folder = keep_vocabulary(
        cache,
        "caption-tokenizer",
        config,
        [*map(repr, sources)],
        state=" ".join(captions.states[: len(sources)]),
        text="the captions have",
        learn=lambda: {_FILE: Tokenizer.train(_lines(captions, pictures), config).to_bytes()},
    )
    return Tokenizer.load(folder / _FILE)


def _lines(captions: Captions, pictures: NDArray[np.int64]) -> list[str]:
    """Captions of training pictures: of each language an equal part of `_LINES` at most, evenly spaced."""
    trained = np.isin(captions.pictures, pictures)
    most, chosen = _LINES // max(len(captions.names), 1), []
    for language in range(len(captions.names)):
        own = np.flatnonzero(trained & (captions.languages == language))
        count = min(most, len(own))
        chosen += own[np.arange(count) * len(own) // max(count, 1)].tolist()
    return [captions.texts[number].as_py() for number in chosen]
