"""Any picture file as pixels: every mode, depth and rotation, and one clear line for what is no picture."""

import glob
import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from qkv.data.folders import is_hidden, look_inside
from qkv.data.pictures.depth import MODES, flatten, stored_as, to_bytes
from qkv.data.pictures.metadata import turn, without_metadata
from qkv.data.reading import Share
from qkv.errors import QkvError
from qkv.files import regular

Picture = str | Path | bytes | Image.Image | NDArray[Any]
"""A path, an encoded picture, a PIL image, or an array [H, W] or [H, W, C] of bytes or of numbers from 0 to 1."""

_EXTENSIONS = Image.registered_extensions()  # which also makes Pillow find out what it can read here
# Without another program, Pillow only recognises most of these; EPS it hands to one that runs what is written in it.
_KINDS = [kind for kind in Image.ID if kind not in {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}]
PICTURE_SUFFIXES = frozenset(suffix for suffix, kind in _EXTENSIONS.items() if kind in (*_KINDS, "MPO"))
"""How the names of pictures end that the installed Pillow can read; MPO is what some cameras make of JPEG."""

_MOST_PIXELS = 100_000_000  # 400 MB in colour; a file of a few bytes can claim any number
_LARGE_PIXELS = 25_000_000  # more than most cameras take
_MOST_SHRUNK = 8  # as a JPEG can be
_IN_WORK = Share(_MOST_PIXELS)
# Of one size up to 32 MB, freed blocks stay with the thread that had them; larger ones go back to the system.
Image.core.set_block_size(2**26)


def open_picture(source: Picture, channels: int, enough: int | None = None) -> Image.Image:
    """A picture, upright, grey (1 channel) or in colour (3), of 8 bits each; QkvError names what cannot be read.

    Of an animation it is the first frame, and what is transparent is white. Metadata that cannot be read are passed
    over. `enough` are the pixels that its shorter side will be scaled to: a JPEG file with more than twice as many is
    decoded at 1/2, 1/4 or 1/8 of its size, never below twice as many, which takes a fraction of the time; so are other
    pictures of more than 25 million pixels, which then do not stay in memory.

    Threads may call it at once. They share a number of pixels that are decoded at a time, that of the largest picture.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source).convert(MODES[channels])
    if not isinstance(source, str | Path | bytes | Image.Image):
        raise QkvError(f"a picture is a path, bytes, a Pillow image or an array, not {type(source).__name__}")
    name = str(source) if isinstance(source, str | Path) else "the picture"
    try:
        with _QUIET:
            if isinstance(source, Image.Image):
                return _decode(source, channels, name, given=True)
            return _read(source, channels, name, enough)
    except FileNotFoundError:
        raise QkvError(f"{name} does not exist: check the path") from None
    except PermissionError:
        raise QkvError(f"{name} may not be read: check its permissions") from None
    except IsADirectoryError:
        raise QkvError(f"{name} is a folder: name a picture in it") from None
    except UnidentifiedImageError:
        raise QkvError(f"{name} is not a picture of a kind that is known here: convert it to PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise QkvError(f"{name} claims far too many pixels to be decoded: make it smaller") from None
    except QkvError:
        raise
    except Exception as error:  # each of Pillow's forty decoders fails in its own way, with its own types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise QkvError(f"{name} is damaged or cannot be read ({reason}): copy or save it again") from None


def find_pictures(paths: Iterable[str | Path]) -> tuple[list[Path], dict[str, QkvError]]:
    """Files by name, in folders and below them, or by patterns such as `*.jpg`; and what is wrong with which name."""
    found: list[Path] = []
    wrong: dict[str, QkvError] = {}
    for name in map(str, paths):
        path = Path(name)
        if path.is_dir():
            try:
                found += pictures_inside(path)[0]
            except QkvError as error:
                wrong[name] = error
        elif path.exists() or not glob.has_magic(name):
            found.append(path)  # where there is none, `open_picture` says so
        elif matches := [match for match in map(Path, sorted(glob.glob(name, recursive=True))) if match.is_file()]:
            found += matches
        else:
            wrong[name] = QkvError(f"no file matches {name}: check the pattern")
    return found, wrong


def pictures_inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures in a folder and below it, one at least, in the order of `look_inside`; and the links not entered."""
    inside = look_inside(folder)
    if not (found := [file for file in inside.files if is_picture(file)]):
        raise QkvError(f"{folder} holds no pictures: none of its files ends in .jpg, .png or the like")
    return found, inside.not_entered


def is_picture(file: Path) -> bool:
    """Whether a file looks like a picture by its name; hidden ones do not, links that lead nowhere do."""
    return file.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(file.name) and not file.is_dir()


class _Quiet:
    """No warnings while any thread reads a picture: Pillow warns of large pictures and odd metadata.

    `catch_warnings` in each thread would put back, at the end of one, what another had set at its beginning.
    """

    def __init__(self) -> None:
        self._lock, self._readers = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._before = warnings.catch_warnings(action="ignore")
                self._before.__enter__()
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._before.__exit__(None, None, None)


_QUIET = _Quiet()


def _read(source: str | Path | bytes, channels: int, name: str, enough: int | None) -> Image.Image:
    """A picture of a file; where it cannot be decoded, another try is made without its metadata."""
    if not isinstance(source, bytes):
        regular(Path(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_KINDS) as image:
            return _decode(image, channels, name, enough)
    except (QkvError, Image.DecompressionBombError):
        raise
    except Exception as error:  # of forty kinds; one that has a number is of the file system, others of the content
        if getattr(error, "errno", None) is not None or (bare := without_metadata(source)) is None:
            raise
    with Image.open(io.BytesIO(bare), formats=_KINDS) as image:
        return _decode(image, channels, name, enough)


def _decode(
    image: Image.Image, channels: int, name: str, enough: int | None = None, given: bool = False
) -> Image.Image:
    pixels, stored = image.width * image.height, stored_as(image)
    if enough is not None:
        image.draft(None, (2 * enough, 2 * enough))  # does nothing but to a JPEG
    left = image.width * image.height
    if left > _MOST_PIXELS:
        size = f"{image.width:,} x {image.height:,} pixels, more than the {_MOST_PIXELS:,} that are decoded"
        raise QkvError(f"{name} has {size}: make it smaller")
    shrink = 1
    if enough is not None and left > _LARGE_PIXELS:
        shrink = min(max(min(image.size) // (2 * enough), 1), _MOST_SHRUNK)
    with _IN_WORK.of(pixels):
        image.load()
        try:
            flat = flatten(image, channels, stored, shrink)
        except QkvError as error:
            raise QkvError(f"{name}: {error}") from None
        to_be_done = turn(image)
        if given:
            flat = flat.copy() if flat is image else flat
        elif flat is not image:
            image.close()  # which gives its memory back before another thread takes as much
        return flat if to_be_done is None else flat.transpose(to_be_done)


def _from_array(array: NDArray[Any]) -> Image.Image:
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)) or 0 in pixels.shape:
        raise QkvError(f"an array of shape {array.shape} is no picture: [H, W], or [H, W, C] with 1, 3 or 4 channels")
    return flatten(Image.fromarray(np.ascontiguousarray(to_bytes(pixels))), 3)
