"""The codes of pictures, computed once and kept: a text-to-image model trains on them, not on pixels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from qkv.data.cache import digest, read_arrow, write_arrow
from qkv.errors import QkvError
from qkv.files import regular
from qkv.reporter import Reporter


@dataclass(frozen=True)
class Codes:
    """The codes of pictures, whose grids are read row by row; memory-mapped."""

    blocks: Sequence[NDArray[np.uint16 | np.int32]]  # each [b, N] of b pictures; all but the last of the same size

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def __getitem__(self, index: int) -> NDArray[np.uint16 | np.int32]:
        """The codes [N] of a picture."""
        block, row = divmod(index, len(self.blocks[0]))
        return self.blocks[block][row]


@dataclass(frozen=True)
class PictureEncoder:
    """What turns pictures into codes, such as a discrete VAE (Ramesh et al. 2021, section 2.1)."""

    encode: Callable[[Float[Tensor, "B C H W"]], Int[Tensor, "B h w"]]  # on any device
    codebook: int  # how many codes there are; each is at least 0 and below this
    weights: Path  # their file, which the cache is known by

    @cached_property
    def digest(self) -> str:
        """Of the weights."""
        try:
            with regular(self.weights).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise QkvError(f"cannot read the weights {self.weights}: {error.strerror or error}") from error


def cached_codes(
    encoder: PictureEncoder,
    images: Callable[[range], Float[Tensor, "B C H W"]],
    n_pictures: int,
    state: str,
    cache: Path,
    reporter: Reporter,
    batch_size: int = 64,
) -> Codes:
    """The codes of pictures 0 to `n_pictures` - 1, computed unless `cache` holds them from an earlier time.

    `images` gives those with some numbers as the encoder reads them; `state` is a digest of all, and of their
    preprocessing. Interrupted work is begun again. A code takes two bytes if there are at most 65,536, else four.
    """
    file = cache / f"codes-{digest(encoder.digest, encoder.codebook, state, n_pictures)}.arrow"
    if (table := read_arrow(file)) is None:
        schema = pa.schema([("codes", pa.list_(pa.uint16() if encoder.codebook <= 2**16 else pa.int32()))])
        pieces = (range(start, min(start + batch_size, n_pictures)) for start in range(0, n_pictures, batch_size))
        blocks = (pa.array([*_encoded(encoder, images(piece))], schema[0].type) for piece in pieces)
        batches = (pa.RecordBatch.from_arrays([block], schema=schema) for block in blocks)
        table = write_arrow(file, schema, batches, reporter, "encoding pictures", n_pictures)
    return Codes([chunk.flatten().to_numpy().reshape(len(chunk), -1) for chunk in table["codes"].chunks])


def _encoded(encoder: PictureEncoder, images: Float[Tensor, "B C H W"]) -> NDArray[np.int64]:
    with torch.no_grad():
        codes = encoder.encode(images).cpu().numpy()
    if codes.min() < 0 or codes.max() >= encoder.codebook:
        raise ValueError(f"codes from {codes.min()} to {codes.max()}, but the codebook has {encoder.codebook}")
    return codes.reshape(len(codes), -1)  # [B, N]
