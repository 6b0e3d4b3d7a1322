"""Picture files written by hand, as no library writes them any more, or damaged."""

import io
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    rows: Iterable[bytes], size: tuple[int, int], colour: int = 0, depth: int = 8, extra: bytes = b"", level: int = -1
) -> bytes:
    """A PNG file of the bytes of each row, with extra chunks before the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), level))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + png_chunk(b"IEND", b"")


def png_of(pixels: NDArray[np.uint16], colour: int, clear: tuple[int, ...] = ()) -> bytes:
    """A PNG file of 16 bits; `clear` is the value that is transparent."""
    rows = [row.astype(">u2").tobytes() for row in pixels]
    extra = png_chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)) if clear else b""
    return png(rows, (pixels.shape[1], pixels.shape[0]), colour, 16, extra)


def tiff(size: tuple[int, int], bits: int, pixels: bytes, photometric: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed TIFF file of one channel."""
    width, height = size
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(pixels), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)
