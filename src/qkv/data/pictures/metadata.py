"""What files tell beside pixels: which way is up; and the same files without it, for where it cannot be read."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from PIL import Image

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_LONGEST = 2**28  # bytes of a file that is looked through

_PNG, _JPEG, _RIFF, _TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF", (b"II*\0", b"MM\0*")
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_WANTED = (b"tRNS", b"eXIf")  # but not damaged
_PNG_CLEAR = {0: 2, 2: 6}  # bytes of tRNS, where it is a value
_WEBP_WANTED = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")
# Sizes, how pixels are stored, and which way is up.
_TIFF_WANTED = frozenset({*range(256, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324,
                          325, 332, 338, 339, 347, *range(512, 522), *range(529, 533)})  # fmt: skip
_WEBP_NAMED = 0b0010_1100  # in VP8X: that a profile, Exif and XMP follow


def turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright; nothing where its metadata do not say, or are damaged."""
    with suppress(Exception):  # Pillow's parsers of Exif and XMP fail in many ways
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return None


def without_metadata(source: str | Path | bytes) -> bytes | None:
    """A PNG, JPEG, WebP or TIFF file with what its pixels need alone, or None where there is nothing to leave out."""
    if isinstance(source, bytes):
        content = source
    else:
        with open(source, "rb") as file:
            head = file.read(12)
            if not head.startswith((_PNG, _JPEG, _RIFF, *_TIFF)):
                return None
            content = head + file.read(_LONGEST)
    if len(content) >= _LONGEST:
        return None
    if content.startswith(_PNG):
        bare = _PNG + b"".join(_png_chunks(content))
    elif content.startswith(_JPEG):
        bare = _JPEG + b"".join(_jpeg_segments(content))
    elif content.startswith(_RIFF) and content[8:12] == b"WEBP":
        inside = b"WEBP" + b"".join(_webp_chunks(content))
        bare = _RIFF + struct.pack("<I", len(inside)) + inside
    elif content.startswith(_TIFF):
        bare = _bare_tiff(content)
    else:
        return None
    return None if bare == content else bare


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        chunk = content[place : place + length + 12]
        whole = len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind == b"tRNS":
            whole &= length >= _PNG_CLEAR.get(content[25], 1)  # by the kind of colour, which stands in IHDR
        if kind in _PNG_PIXELS or (kind in _PNG_WANTED and whole):
            yield chunk
        place += length + 12


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    place = len(_JPEG)
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        marker, length = struct.unpack_from(">xBH", content, place)
        if marker == 0xFF:  # fills up
            place += 1
            continue
        if marker == 0xDA or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9:
            break  # what follows is pixels, or is for the decoder to judge
        segment = content[place : place + 2 + length]
        # JFIF and Adobe tell how colours are stored, Exif which way is up.
        told = {0xE0: (b"JFIF\0", 16), 0xE1: (b"Exif\0\0", 10), 0xEE: (b"Adobe", 14)}.get(marker, (b"", 4))
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or (
            told[0] and segment[4:].startswith(told[0]) and len(segment) >= told[1]
        ):
            yield segment
        place += 2 + length
    yield content[place:]


def _webp_chunks(content: bytes) -> Iterator[bytes]:
    place = 12
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        chunk = content[place : place + 8 + length + length % 2]
        if kind == b"VP8X" and length:
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_NAMED]) + chunk[9:]
        if kind in _WEBP_WANTED:
            yield chunk
        place += 8 + length + length % 2


def _bare_tiff(content: bytes) -> bytes:
    """With a shorter first directory in the place of the first, and no further one."""
    order = "<" if content.startswith(b"II") else ">"
    start = struct.unpack_from(f"{order}I", content, 4)[0] if len(content) >= 8 else len(content)
    if start + 2 > len(content):
        return content
    count = struct.unpack_from(f"{order}H", content, start)[0]
    entries = [content[place : place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if entry and int.from_bytes(entry[:2], _ORDERS[order]) in _TIFF_WANTED]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return content[:start] + directory + content[start + len(directory) :]
