"""Pictures of any mode and depth as 8 bits a channel, on white; a strip of rows at a time, to need little memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qkv.errors import QkvError

MODES = {1: "L", 3: "RGB"}

_STRIP = 2**20  # pixels that are converted at once
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # tag and value of TIFF, which Pillow heeds where there are at most 8 bits
# What is stored in fewer or more bits than Pillow gives, which leaves the value that is transparent as it is stored.
_FACTORS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def stored_as(image: Image.Image) -> str:
    """How a file keeps its pixels, in Pillow's words, such as `RGB;16B`; it is known until they are loaded."""
    tiles = getattr(image, "tile", None) or [(None, None, None, "")]
    arguments = tiles[0][3]
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def flatten(image: Image.Image, channels: int, stored: str = "", shrink: int = 1) -> Image.Image:
    """A loaded picture in grey (1 channel) or colour (3), of 8 bits each; what is transparent is white.

    Numbers of 16 bits, and those from 0 to 1, are scaled. The sides are divided by `shrink`, each pixel the mean of a
    square. `stored` is what `stored_as` said.

    Raises:
        QkvError: there are other numbers, of which nobody knows what is white.
    """
    if image.mode == MODES[channels] and shrink == 1 and "transparency" not in image.info:
        return image
    convert = _conversion(image, stored)
    whole = Image.new(MODES[channels], (-(-image.width // shrink), -(-image.height // shrink)))
    for top, bottom in _strips(*image.size, shrink):
        part = image if bottom - top == image.height else image.crop((0, top, image.width, bottom))
        flat = _on_white(convert(part)).convert(MODES[channels])
        whole.paste(flat.reduce(shrink) if shrink > 1 else flat, (0, top // shrink))
    return whole


def to_bytes(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """An array of bytes as it is, one of numbers from 0 to 1 scaled; others are refused, as `QkvError`."""
    if numbers.dtype == np.uint8:
        return numbers
    if not np.issubdtype(numbers.dtype, np.floating):
        raise _no_picture(numbers.dtype)
    lowest, highest = numbers.min(), numbers.max()
    _check_range(lowest, highest)
    scaled = np.empty(numbers.shape, np.uint8)
    for top, bottom in _strips(numbers[0].size, len(numbers)):
        scaled[top:bottom] = (numbers[top:bottom] * 255).round()
    return scaled


def _strips(width: int, height: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
    """First row and the one behind the last of each strip, whose rows are a multiple of `multiple`."""
    rows = max(_STRIP // (width * multiple), 1) * multiple
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _conversion(image: Image.Image, stored: str) -> Callable[[Image.Image], Image.Image]:
    """What makes a part of the picture one of 8 bits, which still tells what is transparent."""
    clear = image.info.get("transparency")  # a value, of as many bits as are stored; for palettes an alpha for each
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # which have 16 bits
        scale, negative = 255 / (4095 if stored == "I;12" else 65535), _is_negative(image)
        return lambda part: _grey(np.asarray(part), scale, negative, clear)
    if image.mode == "I":
        raise _no_picture(np.dtype(np.int32))
    if image.mode == "F":
        parts = (np.asarray(image.crop((0, top, image.width, bottom))) for top, bottom in _strips(*image.size))
        lowest, highest = zip(*((part.min(), part.max()) for part in parts))
        _check_range(np.min(lowest), np.max(highest))
        return lambda part: _grey(np.asarray(part), 255, _is_negative(image))
    if clear is None or image.mode == "P" or (factor := _FACTORS.get(stored)) is None:
        return lambda part: part
    scaled = [int(value * factor) for value in (clear if isinstance(clear, tuple) else (clear,))]
    return lambda part: _with_clear(part, tuple(scaled) if len(scaled) > 1 else scaled[0])


def _grey(values: NDArray[Any], scale: float, negative: bool, clear: int | None = None) -> Image.Image:
    pixels = (values.astype(np.float64) * scale).round().clip(0, 255).astype(np.uint8)
    grey = Image.fromarray(255 - pixels if negative else pixels)
    if clear is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))))


def _with_clear(image: Image.Image, clear: int | tuple[int, ...]) -> Image.Image:
    image = image.copy()
    image.info["transparency"] = clear
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image
    front = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)


def _is_negative(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _check_range(lowest: Any, highest: Any) -> None:
    if not (lowest >= 0 and highest <= 1):  # nor is it so where one is not a number
        raise QkvError(f"numbers from {lowest:.3g} to {highest:.3g} are no picture: scale them to 0 to 1")


def _no_picture(kind: np.dtype[Any]) -> QkvError:
    return QkvError(f"an array of {kind} is no picture: bytes, or numbers from 0 to 1")
