"""Rows of tokens as one tensor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from qkv.data.text.tokenizer import PAD, Tokenizer
from qkv.errors import QkvError


def pad(rows: Sequence[Sequence[int] | NDArray[Any]], length: int | None = None) -> Int[Tensor, "B T"]:
    """Tokens padded on the right with PAD, to `length` or to the longest row."""
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.full((len(rows), lengths.max() if length is None else length), PAD, np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate([np.empty(0, np.int64), *rows])
    return torch.from_numpy(padded)


def pad_captions(rows: Sequence[Sequence[int]], length: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B"]]:
    """Tokens cut or padded with PAD to `length`, and how many of them are real."""
    cut = [row[:length] for row in rows]
    return pad(cut, length), torch.tensor([len(row) for row in cut], dtype=torch.int64)


def read_captions(
    captions: Sequence[str], tokenizer: Tokenizer, length: int
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B"]]:
    """Tokens of captions that a model is given, padded with PAD to `length`, and how many of them are real.

    Raises:
        QkvError: a caption is empty or has more tokens than `length`; the message names it.
    """
    rows = tokenizer.encode(captions)
    for caption, row in zip(captions, rows, strict=True):
        if not row:
            raise QkvError(f"the caption {caption!r} is empty: say what the picture shows")
        if len(row) > length:
            has = f"has {len(row):,} tokens, the model reads {length}"
            raise QkvError(f"the caption {caption[:40]!r}... {has}: shorten it")
    return pad_captions(rows, length)
