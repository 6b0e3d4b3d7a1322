"""The codes of pictures: computed once for each encoder and state of the pictures, and never trusted blindly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from qkv.data.captions.code_cache import Codes, PictureEncoder, cached_codes
from qkv.errors import QkvError
from qkv.reporter import Reporter

IMAGES = torch.arange(5 * 3 * 4 * 4).reshape(5, 3, 4, 4).float()


class Counting:
    """Encodes by hand: the code of a block of 2 x 2 pixels is its first value, modulo the codebook."""

    def __init__(self, folder: Path, codebook: int = 100, weights: bytes = b"w") -> None:
        self.encoded, self.codebook, self.folder = 0, codebook, folder
        (folder / "weights").write_bytes(weights)

    def encode(self, images: Tensor) -> Tensor:
        self.encoded += len(images)
        return images[:, 0, ::2, ::2].long() % self.codebook

    def codes(self, state: str = "s", n: int = 5) -> Codes:
        encoder = PictureEncoder(self.encode, self.codebook, self.folder / "weights")
        images = lambda piece: IMAGES[piece.start : piece.stop]  # noqa: E731
        return cached_codes(encoder, images, n, state, self.folder / "cache", Reporter(), batch_size=2)


def values(codes: Codes) -> np.ndarray:
    return np.stack([codes[number] for number in range(len(codes))])


@pytest.mark.parametrize(("codebook", "dtype"), [(100, np.uint16), (2**16, np.uint16), (2**16 + 1, np.int32)])
def test_codes_are_the_encoders_in_the_smallest_type(codebook: int, dtype: type, tmp_path: Path) -> None:
    encoder = Counting(tmp_path, codebook)
    codes = encoder.codes()
    assert all(block.dtype == dtype and not block.flags.writeable for block in codes.blocks)
    assert (values(codes) == IMAGES[:, 0, ::2, ::2].flatten(1).long().numpy() % codebook).all()
    before = pa.total_allocated_bytes()
    again = encoder.codes()
    assert pa.total_allocated_bytes() == before  # mapped, not read
    assert (values(again) == values(codes)).all()
    assert encoder.encoded == 5


def test_other_weights_and_other_pictures_are_encoded_anew(tmp_path: Path) -> None:
    encoder = Counting(tmp_path)
    encoder.codes()
    encoder.codes("other pictures")
    encoder.codes(n=4)
    assert encoder.encoded == 14
    other = Counting(tmp_path, weights=b"x")
    other.codes()
    assert other.encoded == 5
    Counting(tmp_path, weights=b"w").codes()
    assert encoder.encoded == 14  # both are kept
    (tmp_path / "weights").unlink()
    with pytest.raises(QkvError, match=r"cannot read the weights .*weights: No such file"):
        encoder.codes()


def damages() -> dict[str, Callable[[Path], object]]:
    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return {
        "cut": lambda file: file.write_bytes(file.read_bytes()[:-3]),
        "flip": flip,
        "of something else": lambda file: file.write_bytes(b"something else"),
        "empty checksum": lambda file: file.with_suffix(".crc32").write_text(""),
        "no codes": lambda file: file.write_bytes(b""),
    }


@pytest.mark.parametrize("damage", damages())
def test_what_is_damaged_is_made_anew(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = Counting(tmp_path)
    codes = values(encoder.codes())
    [file] = (tmp_path / "cache").glob("*.arrow")
    damages()[damage](file)
    assert (values(encoder.codes()) == codes).all()
    assert encoder.encoded == 10
    assert caplog.text.count("is made anew") == 1
    encoder.codes()
    assert encoder.encoded == 10
    file.with_suffix(".crc32").unlink()  # as of a version that wrote none
    assert (values(encoder.codes()) == codes).all()
    assert encoder.encoded == 15


def test_interrupted_work_leaves_nothing_behind(tmp_path: Path) -> None:
    encoder = Counting(tmp_path)
    whole, real = encoder.encode, encoder.encode

    def interrupted(images: Tensor) -> Tensor:
        if encoder.encoded == 4:
            raise KeyboardInterrupt
        return real(images)

    encoder.encode = interrupted
    with pytest.raises(KeyboardInterrupt):
        encoder.codes()
    assert list((tmp_path / "cache").iterdir()) == []
    encoder.encode = whole
    assert values(encoder.codes()).shape == (5, 4)


def test_codes_beyond_the_codebook_are_refused(tmp_path: Path) -> None:
    encoder = Counting(tmp_path)
    encoder.encode = lambda images: torch.full((len(images), 2, 2), 100)
    with pytest.raises(ValueError, match="codes from 100 to 100, but the codebook has 100"):
        encoder.codes()
