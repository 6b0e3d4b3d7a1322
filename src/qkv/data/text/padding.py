"""Rows of tokens as one tensor."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from qkv.data.text.tokenizer import PAD, Tokenizer
from qkv.errors import QkvError


def pad_captions(rows: Sequence[Sequence[int]], length: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B"]]:
    """Tokens cut or padded with PAD to `length`, and how many of them are real."""
    cut = [torch.tensor(row[:length], dtype=torch.int64) for row in rows]
    padded = torch.full((len(cut), length), PAD)
    for target, row in zip(padded, cut, strict=True):
        target[: len(row)] = row
    return padded, torch.tensor([len(row) for row in cut], dtype=torch.int64)


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
            raise QkvError(
                f"the caption {caption[:40]!r}... has {len(row):,} tokens, the model reads {length}: shorten it"
            )
    return pad_captions(rows, length)
