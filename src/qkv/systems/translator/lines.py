"""Lines in, lines out. A line ends at a line feed and nowhere else: any other character belongs to the text."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from qkv.data.lines import read_lines
from qkv.errors import QkvError
from qkv.json_text import json_text

if TYPE_CHECKING:
    from qkv.systems.translator.pipeline import Progress, Translator

Work = Callable[[list[str], "Progress | None"], bytes]
"""Translates lines, and returns as many lines of UTF-8."""

_BLOCK_LINES, _BLOCK_CHARACTERS = 512, 1 << 16


def formatter(translator: "Translator", as_json: bool, options: dict[str, Any]) -> Work:
    """Work that translates with these options."""

    def work(lines: list[str], progress: "Progress | None") -> bytes:
        translations = translator.translate(lines, progress=progress, **options)
        formatted = (json_text(t.to_json()) if as_json else t.text for t in translations)
        return "".join(f"{line}\n" for line in formatted).encode()

    return work


def stream_blocks(stream: BinaryIO) -> Iterator[list[str]]:
    """Lines of a stream, as many at a time as have come: a dialogue line by line works as well as a long pipe.

    A line that is not UTF-8 is refused once the lines before it have been given.
    """
    offset = number = 0
    pending: list[bytes] = []  # of the line that has not ended
    while chunk := stream.read1(_BLOCK_CHARACTERS):  # type: ignore[attr-defined]
        *ended, rest = chunk.split(b"\n")
        raw_lines = [b"".join([*pending, ended[0]]), *ended[1:]] if ended else []
        pending = [rest] if ended else [*pending, rest]
        if raw_lines:
            yield from _decode(raw_lines, offset, number)
        offset += sum(map(len, raw_lines)) + len(raw_lines)
        number += len(raw_lines)
    if last := b"".join(pending):
        yield from _decode([last], offset, number)


def _decode(raw_lines: list[bytes], offset: int, number: int) -> Iterator[list[str]]:
    lines: list[str] = []
    for raw in raw_lines:
        try:
            lines.append(raw.decode())
        except UnicodeDecodeError as error:
            if lines:
                yield lines
            where = f"byte {offset + error.start} (line {number + len(lines) + 1})"
            raise QkvError(f"standard input is not UTF-8: {where} is invalid; convert it to UTF-8") from None
        offset += len(raw) + 1
    yield lines


def file_blocks(path: Path, skip: int = 0) -> Iterator[list[str]]:
    """Lines of a file behind the first `skip`, some hundred at a time."""
    block, characters = list[str](), 0
    for line in islice(read_lines(path), skip, None):
        block.append(line)
        characters += len(line)
        if len(block) >= _BLOCK_LINES or characters >= _BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def check_lines(path: Path) -> tuple[int, str]:
    """The number of lines of a text file, and a digest of their texts; refuses what cannot be read or is not UTF-8."""
    digest, lines = hashlib.sha256(), 0
    for line in read_lines(path):
        digest.update(line.encode() + b"\n")
        lines += 1
    return lines, digest.hexdigest()
