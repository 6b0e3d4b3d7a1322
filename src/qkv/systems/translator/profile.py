"""Which tokens each language of a model is made of: what tells a text's language, and how far it is from the data."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError, one_line

PROFILE = "profile.safetensors"
_UNSEEN = 0.01  # share of the probability that all tokens have alike, also those that a language lacks
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_TEXTS_AT_ONCE = 1024


class Profile:
    """The probability of each source token in the training text of each language: unigram language models."""

    def __init__(self, log_probabilities: Mapping[str, NDArray[np.float16]]) -> None:
        self._rows = {language: row.astype(np.float64) for language, row in log_probabilities.items()}

    @classmethod
    def of(cls, texts: Mapping[str, Iterable[str]], tokenizer: Tokenizer) -> "Profile":
        """Count the tokens of texts, by language."""
        return cls({language: _log_probabilities(lines, tokenizer) for language, lines in texts.items()})

    @classmethod
    def load(cls, folder: Path, vocabulary: int) -> "Profile | None":
        """Read the profile of a model folder; None where it has none, as models had before there were any.

        Raises:
            QkvError: the file is damaged or belongs to another vocabulary.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / PROFILE
        if not path.exists():
            return None
        try:
            rows = load_file(path)
        except (OSError, SafetensorError) as error:
            raise QkvError(f"{path} cannot be read ({one_line(error)}); copy the model again, or delete it") from None
        for row in rows.values():
            if row.shape != (vocabulary,) or row.dtype != np.float16 or not np.isfinite(row).all():
                said = f"must hold {vocabulary:,} finite numbers of float16 a language"
                raise QkvError(f"{path}: {said}; copy the model again, or delete it")
        return cls(rows)

    def to_bytes(self) -> bytes:
        """The file."""
        from safetensors.numpy import save

        return save({language: row.astype(np.float16) for language, row in self._rows.items()})

    def log_likelihoods(self, tokens: Sequence[int]) -> dict[str, float]:
        """The log-probability of these tokens in each language, in nats."""
        at = np.array(tokens, np.int64)
        return {language: float(row[at].sum()) for language, row in self._rows.items()}


def _log_probabilities(lines: Iterable[str], tokenizer: Tokenizer) -> NDArray[np.float16]:
    counts, lines = Counter[int](), iter(lines)
    while block := list(islice(lines, _TEXTS_AT_ONCE)):
        counts.update(chain.from_iterable(tokenizer.encode(block)))
    shares = np.zeros(len(tokenizer))
    shares[list(counts)] = list(counts.values())
    # A byte is of no language: it spells what is of none of the model's.
    shares[[bool(_BYTE.fullmatch(piece)) for piece in tokenizer.pieces(range(len(tokenizer)))]] = 0
    shares /= max(shares.sum(), 1)
    return np.log((1 - _UNSEEN) * shares + _UNSEEN / len(tokenizer)).astype(np.float16)
