"""The vocabulary of captions, learnt once and kept: a model's weights depend on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qkv.data.captions.sources import CaptionSource
from qkv.data.captions.store import Captions
from qkv.data.pictures.sources import Indices
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.data.text.vocabulary import keep_vocabulary, tell_of_learning
from qkv.reporter import Reporter

_FILE = "tokenizer.model"
_LINES = 500_000


def learn_tokenizer(
    config: TokenizerConfig,
    sources: Sequence[CaptionSource],
    captions: Captions,
    pictures: Indices,
    cache: Path,
    reporter: Reporter,
) -> Tokenizer:
    """The vocabulary in `cache`, which is kept when the captions change, or one learnt from those of these pictures.

    It is known by the sources of training, whose captions are the first of all.
    """

    def learn() -> dict[str, bytes]:
        lines = _lines(captions, pictures)
        tell_of_learning(lines, len(lines), config, reporter)
        return {_FILE: Tokenizer.train(lines, config).to_bytes()}

    origin, state = [*map(repr, sources)], " ".join(captions.states[: len(sources)])
    folder = keep_vocabulary(cache, "caption-tokenizer", config, origin, state, "the captions have", learn)
    return Tokenizer.load(folder / _FILE)


def _lines(captions: Captions, pictures: Indices) -> list[str]:
    """Captions of training pictures: of each language an equal part of `_LINES` at most, evenly spaced."""
    trained = np.isin(captions.pictures, pictures)
    most, chosen = _LINES // max(len(captions.names), 1), []
    for language in range(len(captions.names)):
        own = np.flatnonzero(trained & (captions.languages == language))
        count = min(most, len(own))
        chosen += own[np.arange(count) * len(own) // max(count, 1)].tolist()
    return [captions.texts[number].as_py() for number in chosen]
