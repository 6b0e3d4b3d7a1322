"""Numbers of every depth are scaled, or refused in the same words as an array of them; transparency is kept."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from picture_files import encoded, png, png_chunk, png_of, tiff
from qkv.data.pictures import depth
from qkv.data.pictures.decode import open_picture
from qkv.errors import QkvError

RNG = np.random.default_rng(0)
SIXTEEN = RNG.integers(0, 2**16, (6, 9), dtype=np.uint16)
SIXTEEN[0, 0] = 0
EIGHT = np.round(SIXTEEN / 257).astype(np.uint8)


def opened(source: object, channels: int = 1) -> np.ndarray:
    return np.asarray(open_picture(source, channels))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source",
    [
        encoded(Image.fromarray(SIXTEEN), "TIFF"),
        encoded(Image.fromarray(SIXTEEN), "PNG"),
        encoded(Image.frombytes("I;16B", (9, 6), SIXTEEN.astype(">u2").tobytes()), "TIFF"),
        Image.frombytes("I;16L", (9, 6), SIXTEEN.astype("<u2").tobytes()),
        tiff((9, 6), 16, (65535 - SIXTEEN).astype("<u2").tobytes(), photometric=0),
        b"P5 9 6 65535\n" + SIXTEEN.astype(">u2").tobytes(),
        encoded(Image.fromarray((SIXTEEN / 65535).astype(np.float32)), "TIFF"),
        Image.fromarray((SIXTEEN / 65535).astype(np.float32)),
        (SIXTEEN / 65535).astype(np.float32),
    ],
    ids=["TIFF", "PNG", "I;16B", "I;16L", "white is zero", "PGM", "float TIFF", "float", "array"],
)
def test_sixteen_bits_and_numbers_from_0_to_1_are_scaled(source: object) -> None:
    np.testing.assert_array_equal(opened(source), EIGHT)


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    dark = np.full((2, 3), 200, np.uint16)
    for content in (b"P5 3 2 65535\n" + dark.astype(">u2").tobytes(), encoded(Image.fromarray(dark))):
        assert opened(content).tolist() == [[1] * 3] * 2


def test_twelve_bits_are_scaled_by_what_12_bits_hold() -> None:
    assert opened(tiff((4, 1), 12, bytes.fromhex("fff000800001"))).tolist() == [[255, 0, 128, 0]]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(0, 65535, 12), np.float32),
        (np.linspace(0, 255, 12), np.float32),
        (np.linspace(-1, 1, 12), np.float32),
        (np.full(12, np.nan), np.float32),
        (np.array([0.5] * 11 + [np.inf]), np.float32),
        (np.linspace(0, 70000, 12), np.int32),
        (np.linspace(0, 255, 12), np.int32),
    ],
)
def test_other_numbers_are_refused_as_an_array_of_them_is(tmp_path: Path, values: np.ndarray, kind: type) -> None:
    array, file = values.reshape(3, 4).astype(kind), tmp_path / "a.tiff"
    Image.fromarray(array).save(file)
    with pytest.raises(QkvError, match="no picture") as of_array:
        open_picture(array, 3)
    with pytest.raises(QkvError) as of_file:
        open_picture(file, 3)
    assert str(of_file.value) == f"{file}: {of_array.value}"


def test_whole_numbers_with_a_sign_are_refused() -> None:
    with pytest.raises(QkvError, match=r"^the picture: an array of int32 is no picture"):
        open_picture(tiff((2, 1), 16, np.array([-5, 900], "<i2").tobytes(), sample_format=2), 3)


def test_what_is_transparent_in_16_bits_is_white() -> None:
    clear = int(SIXTEEN[2, 3])
    expected = np.where(clear == SIXTEEN, 255, EIGHT)
    np.testing.assert_array_equal(opened(png_of(SIXTEEN, 0, (clear,))), expected)
    colour = np.stack([SIXTEEN] * 3, 2)
    high = (SIXTEEN >> 8).astype(np.uint8)  # all that Pillow keeps of 16 bits in colour
    expected = np.where(high == clear >> 8, 255, high)
    np.testing.assert_array_equal(opened(png_of(colour, 2, (clear,) * 3), 3)[..., 1], expected)
    alpha = RNG.integers(0, 2**16, SIXTEEN.shape, dtype=np.uint16)
    share = alpha / 65535
    expected = EIGHT * share + 255 * (1 - share)
    for pixels, kind in ((np.stack([SIXTEEN, alpha], 2), 4), (np.dstack([colour, alpha]), 6)):
        assert np.abs(opened(png_of(pixels, kind)) - expected).max() <= 2


@pytest.mark.parametrize(("bits", "row", "clear", "expected"), [
    (4, b"\x01\x0f", 1, [0, 255, 0, 255]), (2, b"\x1b", 2, [0, 85, 255, 255]), (1, b"\x50", 0, [255, 255, 255, 255]),
    (8, b"\x01\x02\x03\x04", 3, [1, 2, 255, 4]),
])  # fmt: skip
def test_what_is_transparent_in_few_bits_is_white(bits: int, row: bytes, clear: int, expected: list[int]) -> None:
    chunk = png_chunk(b"tRNS", clear.to_bytes(2, "big"))
    assert opened(png([row], (4, 1), depth=bits, extra=chunk))[0].tolist() == expected


def modes() -> list[Image.Image]:
    """A picture in every mode that is read, some of them with values that are transparent."""
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (23, 17, 4), dtype=np.uint8))
    colour = noise.convert("RGB")
    palette = colour.quantize(8)
    others = [colour.convert(mode) for mode in ("1", "L", "CMYK", "YCbCr")] + [palette.convert("PA")]
    deep = [Image.fromarray(rng.integers(0, 2**16, (23, 17), dtype=np.uint16))]
    deep.append(Image.fromarray(rng.random((23, 17), np.float32)))
    clear = [palette.copy(), palette.copy(), colour.convert("L"), colour.copy(), deep[0].copy()]
    for image, value in zip(clear, (3, bytes(range(0, 240, 30)), 7, colour.getpixel((2, 2)), deep[0].getpixel((1, 1)))):
        image.info["transparency"] = value
    return [noise, noise.convert("LA"), noise.convert("RGBa"), noise.convert("LA").convert("La"), colour, *others,
            *deep, *clear]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_strips_make_no_difference(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [open_picture(image, channels) for image in modes()]
    monkeypatch.setattr(depth, "_STRIP", 40)
    for image, expected in zip(modes(), whole, strict=True):
        found = open_picture(image, channels)
        assert found.mode == expected.mode == depth.MODES[channels]
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected), image.mode)
        shrunk = depth.flatten(image, channels, shrink=4)
        np.testing.assert_array_equal(np.asarray(shrunk), np.asarray(expected.reduce(4)), image.mode)


def test_the_owner_s_picture_stays_as_it_is() -> None:
    colour = Image.new("RGB", (3, 2), "red")
    open_picture(colour, 3).paste("blue", (0, 0, 3, 2))
    assert colour.getpixel((0, 0)) == (255, 0, 0)
    few = Image.open(io.BytesIO(png([b"\x01"], (2, 1), depth=4, extra=png_chunk(b"tRNS", b"\0\1"))))
    open_picture(few, 3)
    assert few.info["transparency"] == 1


_PEAK = """
import resource, sys
from qkv.data.pictures.decode import open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
open_picture(sys.argv[1], 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_picture_of_16_bits_takes_little_more_than_its_pixels(tmp_path: Path) -> None:
    file, side = tmp_path / "large.png", 4000
    file.write_bytes(png([bytes(2 * side)] * side, (side, side), depth=16, level=1))
    peak = int(subprocess.run([sys.executable, "-c", _PEAK, str(file)], capture_output=True, check=True).stdout)
    assert peak * 1024 / side**2 < 5  # bytes a pixel: 2 as they are stored, 1 as they are given, 24 as float64 thrice
