"""What cannot be read of the metadata says nothing of the pixels."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from picture_files import encoded, png_chunk
from qkv.data.pictures.decode import open_picture
from qkv.errors import QkvError

Y, X = np.mgrid[:24, :32]
PHOTO = Image.fromarray(np.stack([X * 8, Y * 10, (X + Y) * 4], 2).astype(np.uint8))
TURNED = Image.Exif()
TURNED[0x0112] = 6


def pixels(source: object) -> np.ndarray:
    return np.asarray(open_picture(source, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {})])
@pytest.mark.parametrize("exif", [b"garbage!", b"Exif\0\0II*\0" + b"\xff" * 4, b"Exif\0\0", b"II*\0\x08\0\0\0\xff\xff"])
def test_malformed_exif(kind: str, options: dict[str, object], exif: bytes) -> None:
    content, expected = encoded(PHOTO, kind, exif=exif, **options), pixels(encoded(PHOTO, kind, **options))
    np.testing.assert_array_equal(pixels(content), expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(("kind", "value"), [(2, 2**31), (7, 2**32 - 1), (12, 0), (0, 0), (99, 5)])
def test_malformed_tags_of_tiff(compression: str | None, kind: int, value: int) -> None:
    content = bytearray(encoded(PHOTO, "TIFF", exif=TURNED, description="sun", compression=compression))
    entry = content.index(struct.pack("<HHI", 270, 2, 4))
    struct.pack_into("<HII", content, entry + 2, kind, value, value)
    np.testing.assert_array_equal(pixels(bytes(content)), np.rot90(np.asarray(PHOTO), -1))


def damaged(chunk: bytes) -> bytes:
    """Of which the checksum is wrong."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


LONG = zlib.compress(bytes(2**21))  # more text than Pillow unpacks


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"iCCP", b"name\0\0no profile"),
        png_chunk(b"iCCP", b"name\0\7" + LONG),
        png_chunk(b"zTXt", b"name\0\0" + LONG),
        png_chunk(b"zTXt", b"name\0\5no text"),
        png_chunk(b"iTXt", b"name\0\1\0\0\0" + LONG),
        png_chunk(b"gAMA", b""),
        png_chunk(b"cHRM", b"short"),
        png_chunk(b"pHYs", b"1"),
        png_chunk(b"tRNS", b"1"),
        damaged(png_chunk(b"tEXt", b"name\0text")),
        damaged(png_chunk(b"tRNS", bytes(PHOTO.getpixel((0, 0))))),
        damaged(png_chunk(b"eXIf", TURNED.tobytes()[6:])),
    ],
    ids=range(12),
)
def test_malformed_chunks_of_png(chunk: bytes, tmp_path: Path) -> None:
    content = encoded(PHOTO, exif=TURNED)
    for place in (33, len(content) - 12):  # behind the header; before the end
        file = tmp_path / "a.png"
        file.write_bytes(content[:place] + chunk + content[place:])
        np.testing.assert_array_equal(pixels(file), np.rot90(np.asarray(PHOTO), -1))  # which is still told


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


@pytest.mark.parametrize(
    "added",
    [
        segment(0xE0, b"JFIF"),
        segment(0xEE, b"Adobe"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"MPF\0MM"),
        segment(0xED, b"Photoshop 3.0\x008BIM"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff<"),
    ],
)
def test_malformed_segments_of_jpeg(added: bytes) -> None:
    content = encoded(PHOTO, "JPEG", exif=TURNED)
    expected = np.rot90(pixels(encoded(PHOTO, "JPEG")), -1)
    np.testing.assert_array_equal(pixels(content[:2] + added + content[2:]), expected)


def test_random_damage_to_metadata_leaves_every_pixel() -> None:
    draw = random.Random(0)
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 50, zip=True)
    for kind, options in (("PNG", {"pnginfo": text}), ("JPEG", {}), ("WEBP", {"lossless": True})):
        exif, profile = TURNED.tobytes(), bytes(range(100))
        content = encoded(PHOTO, kind, exif=exif, icc_profile=profile, **options)
        expected = pixels(encoded(PHOTO, kind, **({"lossless": True} if kind == "WEBP" else {})))
        start = content.index(profile[1:20] if kind != "PNG" else b"zTXt") + 4
        for _ in range(40):
            bad = bytearray(content)
            for _ in range(draw.choice((1, 5))):
                bad[start + draw.randrange(12)] = draw.randrange(256)
            np.testing.assert_array_equal(pixels(bytes(bad)), np.rot90(expected, -1), kind)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_damage_to_pixels_is_still_told(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))
    content = encoded(noise, kind, exif=TURNED)
    with pytest.raises(QkvError, match="the picture is "):
        pixels(content[: len(content) // 2])


def test_a_picture_that_is_given_is_turned_or_left() -> None:
    with Image.open(io.BytesIO(encoded(PHOTO, exif=TURNED))) as image:
        np.testing.assert_array_equal(pixels(image), np.rot90(np.asarray(PHOTO), -1))
    bad = PHOTO.copy()
    bad.info["exif"] = b"garbage!"
    np.testing.assert_array_equal(pixels(bad), np.asarray(PHOTO))
