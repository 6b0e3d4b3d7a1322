"""The codes of pictures, computed once and kept: a text-to-image model trains on them, not on pixels."""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from qkv.data.cache import digest
from qkv.errors import QkvError
from qkv.files import atomic_folder
from qkv.reporter import Reporter

_log = logging.getLogger(__name__)

Codes = NDArray[np.uint16 | np.int32]
"""Of each picture a grid of codes, [pictures, h, w]."""


@dataclass(frozen=True)
class PictureEncoder:
    """What turns pictures into codes, such as a discrete VAE (Ramesh et al. 2021, section 2.1).

    Attributes:
        encode: images [B, C, H, W] to codes [B, h, w], on any device; the same h and w for all.
        codebook: how many codes there are; each is at least 0 and below this.
        weights: the file of weights, which the cache is known by.
    """

    encode: Callable[[Float[Tensor, "B C H W"]], Int[Tensor, "B h w"]]
    codebook: int
    weights: Path

    @cached_property
    def digest(self) -> str:
        """Of the weights; taken when first asked for.

        Raises:
            QkvError: the file cannot be read.
        """
        try:
            with self.weights.open("rb") as file:
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

    What it holds is read once and compared with its checksum; what is damaged, cut short or of something else is made
    anew. Interrupted work is begun again; what is killed outright leaves a hidden temporary folder.

    Args:
        encoder: what makes codes.
        images: the pictures with these numbers, as the encoder reads them.
        n_pictures: how many there are; at least one.
        state: a digest of the pictures and their preprocessing.
        cache: a folder.
        reporter: is told of the work.
        batch_size: pictures to encode at once.

    Returns:
        Codes [n_pictures, h, w], memory-mapped and read only: two bytes a code if there are at most 65,536, else four.

    Raises:
        QkvError: a picture or the weights cannot be read, or the cache cannot be written.
    """
    key = digest(encoder.digest, encoder.codebook, state, n_pictures)
    folder = cache / f"codes-{key}"
    if (codes := _read(folder, key)) is not None:
        return codes
    if folder.exists():
        _log.warning("%s is damaged or cut short: the codes of the pictures are made anew", folder)
    pieces = (range(start, min(start + batch_size, n_pictures)) for start in range(0, n_pictures, batch_size))
    with atomic_folder(folder) as temporary:
        checksum = 0
        with (temporary / "codes.npy").open("wb") as file:
            for piece in pieces:
                block = _encoded(encoder, images(piece))
                if not piece.start:
                    _write_head(file, block.dtype, (n_pictures, *block.shape[1:]))
                file.write(block.data)
                checksum = zlib.crc32(block.data, checksum)
                reporter.progress("encoding pictures", piece.stop, n_pictures)
        (temporary / "info.json").write_text(json.dumps({"key": key, "crc32": checksum}))
    codes = _read(folder, key)
    assert codes is not None, "what has just been written can be read"
    return codes


def _encoded(encoder: PictureEncoder, images: Float[Tensor, "B C H W"]) -> Codes:
    with torch.no_grad():
        codes = encoder.encode(images).cpu().numpy()
    if codes.min() < 0 or codes.max() >= encoder.codebook:
        raise ValueError(f"codes from {codes.min()} to {codes.max()}, but the codebook has {encoder.codebook}")
    return np.ascontiguousarray(codes.astype(np.uint16 if encoder.codebook <= 2**16 else np.int32))


def _write_head(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def _read(folder: Path, key: str) -> Codes | None:
    """What a folder holds, if it is whole and what it is taken for."""
    try:
        info = json.loads((folder / "info.json").read_text())
        codes = np.load(folder / "codes.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(info, dict) and info.get("key") == key and info.get("crc32") == zlib.crc32(codes.data)
    return codes if whole else None
