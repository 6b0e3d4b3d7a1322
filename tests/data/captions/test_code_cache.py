"""The codes of pictures: computed once for each encoder and state of the pictures, and never trusted blindly."""

import json
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize(("codebook", "dtype"), [(100, np.uint16), (2**16, np.uint16), (2**16 + 1, np.int32)])
def test_codes_are_the_encoders_in_the_smallest_type(codebook: int, dtype: type, tmp_path: Path) -> None:
    encoder = Counting(tmp_path, codebook)
    codes = encoder.codes()
    assert codes.dtype == dtype and not codes.flags.writeable
    assert isinstance(codes.base, np.memmap) or isinstance(codes, np.memmap)
    assert (codes == IMAGES[:, 0, ::2, ::2].long().numpy() % codebook).all()
    again = encoder.codes()
    assert (again == codes).all()
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


def damages() -> dict[str, object]:
    def cut(folder: Path) -> None:
        (folder / "codes.npy").write_bytes((folder / "codes.npy").read_bytes()[:-3])

    def flip(folder: Path) -> None:
        content = bytearray((folder / "codes.npy").read_bytes())
        content[-1] ^= 1
        (folder / "codes.npy").write_bytes(content)

    def stale(folder: Path) -> None:
        info = json.loads((folder / "info.json").read_text())
        (folder / "info.json").write_text(json.dumps({**info, "key": "0" * 64}))

    def pickled(folder: Path) -> None:
        np.save(folder / "codes.npy", np.array([{}], dtype=object), allow_pickle=True)

    return {
        "cut": cut,
        "flip": flip,
        "stale": stale,
        "pickled": pickled,
        "no info": lambda folder: (folder / "info.json").unlink(),
        "empty info": lambda folder: (folder / "info.json").write_text("[]"),
        "no codes": lambda folder: (folder / "codes.npy").write_bytes(b""),
    }


@pytest.mark.parametrize("damage", damages())
def test_what_is_damaged_or_stale_is_made_anew(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = Counting(tmp_path)
    codes = np.array(encoder.codes())
    [folder] = (tmp_path / "cache").iterdir()
    damages()[damage](folder)
    assert (encoder.codes() == codes).all()
    assert encoder.encoded == 10
    assert caplog.text.count("are made anew") == 1
    encoder.codes()
    assert encoder.encoded == 10


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
    assert encoder.codes().shape == (5, 2, 2)


def test_codes_beyond_the_codebook_are_refused(tmp_path: Path) -> None:
    encoder = Counting(tmp_path)
    encoder.encode = lambda images: torch.full((len(images), 2, 2), 100)
    with pytest.raises(ValueError, match="codes from 100 to 100, but the codebook has 100"):
        encoder.codes()
