"""Lines of text files."""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qkv.errors import QkvError
from qkv.files import regular

_BOM = b"\xef\xbb\xbf"
_LONGEST = 2**26  # bytes of a line


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends, as `read_lines` finds them in a file: a line ends at a line feed alone.

    `str.splitlines` would cut at U+2028, U+0085, form feeds and their like too, which belong to a sentence.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_lines(path: Path, streams: bool = False) -> Iterator[str]:
    """Lines of a UTF-8 text file without their ends; a byte order mark is skipped, and .gz unpacked.

    `streams` that the shell has opened are read too, such as `<(command)`, by whoever reads once.

    Raises:
        QkvError: the file cannot be read, is none, is damaged, or is not UTF-8; a line is longer than any text.
    """
    compressed = path.suffix == ".gz"
    offset = 0
    try:
        regular(path, streams)
        with gzip.open(path) if compressed else path.open("rb") as file:
            for number, raw in enumerate(iter(partial(file.readline, _LONGEST), b""), 1):
                if len(raw) == _LONGEST:
                    raise QkvError(f"{path}, line {number} is longer than {_LONGEST:,} bytes: break it into lines")
                start = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
                try:
                    yield raw[start:].removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
                except UnicodeDecodeError as error:
                    where = f"{' of the unpacked text' if compressed else ''} (line {number})"
                    said = f"byte {offset + start + error.start}{where} is invalid; convert it to UTF-8"
                    raise QkvError(f"{path} is not UTF-8: {said}") from error
                offset += len(raw)
    except FileNotFoundError as error:
        raise QkvError(f"{path} does not exist: check the path") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise QkvError(f"{path} is damaged or no gzip file ({error}): fetch or compress it again") from error
    except OSError as error:
        raise QkvError(f"cannot read {path}: {error.strerror or error}") from error
