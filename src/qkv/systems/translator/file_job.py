"""File to file: progress, an output that appears when it is whole, and going on after a kill.

What is done lies beside the output in OUTPUT.FINGERPRINT.partial. The fingerprint covers the texts, the model and the
options, so that a rerun goes on only with its own work. Since a translation does not depend on its neighbours, the
result is that of a run that was never interrupted.
"""

import glob
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qkv
from qkv.errors import QkvError
from qkv.model_directory import find_model
from qkv.reporter import Reporter
from qkv.systems.translator.lines import Work, check_lines, file_blocks
from qkv.terminal.output import is_read, refuse_existing

_DIGITS = 16  # of a fingerprint


def translate_file(
    work: Work, source: Path, output: Path, key: Mapping[str, Any], reporter: Reporter, force: bool = False
) -> None:
    """Translate each line of a file, which is read through, and refused if need be, before anything is written.

    `key` holds all that the result depends on but the texts; its "model" names the model. An output that is there is
    replaced by work that goes on, or with `force`.
    """
    lines, digest = check_lines(source)
    partial = output.with_name(f"{output.name}.{_fingerprint(digest, key)}.partial")
    if not force and not partial.exists():
        refuse_existing("--out", output)
    if partial.is_symlink() or is_read(partial, source):
        raise QkvError(f"{partial} would be written to, but is a link or what is read: name another --out")
    output.parent.mkdir(parents=True, exist_ok=True)
    what, done = f"lines of {source.name}", _whole_lines(partial)
    if done:
        reporter.say(f"going on behind line {done:,} of {lines:,}")
    try:
        with partial.open("ab") as file:
            for block in file_blocks(source, skip=done):
                file.write(work(block, _within(reporter, what, done, len(block), lines)))
                file.flush()
                done += len(block)
                reporter.progress(what, done, lines)
    except KeyboardInterrupt:
        reporter.say(f"interrupted; the same command goes on behind line {done:,}")
        raise
    if done != lines:
        raise QkvError(f"{source} changed while it was translated: {lines:,} lines, then {done:,}; run it again")
    os.replace(partial, output)
    for stale in partials(output):
        if not is_read(stale, source):
            stale.unlink(missing_ok=True)


def partials(output: Path) -> list[Path]:
    """What was begun of an output, with whatever model and options."""
    return list(output.parent.glob(f"{glob.escape(output.name)}.{'[0-9a-f]' * _DIGITS}.partial"))


def _within(reporter: Reporter, what: str, start: int, size: int, lines: int) -> Callable[[int, int], None]:
    """Tells of the progress within a block of `size` lines that begins behind line `start`."""
    return lambda done, total: reporter.progress(what, start + size * done // total, lines)


def _fingerprint(digest: str, key: Mapping[str, Any]) -> str:
    files = (path for path in find_model(key["model"]).iterdir() if path.is_file())
    model = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    everything = json.dumps([qkv.__version__, digest, {**key, "model": model}], sort_keys=True)
    return hashlib.sha256(everything.encode()).hexdigest()[:_DIGITS]


def _whole_lines(partial: Path) -> int:
    """Number of lines that are done; one that was being written is dropped."""
    if not partial.exists():
        return 0
    with partial.open("rb+") as file:
        lines = end = 0
        for line in file:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
        file.truncate(end)
    return lines
