"""What is derived from files of data and kept: keys to know it by, and tables that are whole or are made anew."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from qkv.files import atomic_file
from qkv.reporter import SILENT, Reporter

_log = logging.getLogger(__name__)


def digest(*parts: object) -> str:
    """A key for what is made from these parts: 16 hex digits of the SHA-256 of their JSON.

    Bytes and paths may be among them. Runs keep vocabularies under such keys, so equal parts must go on giving them.
    """

    def plain(part: object) -> str:
        if isinstance(part, bytes):
            return hashlib.sha256(part).hexdigest()
        if isinstance(part, Path):
            return str(part)
        raise TypeError(f"{part!r} has no place in a key")

    return hashlib.sha256(json.dumps(parts, default=plain).encode()).hexdigest()[:16]


def file_state(path: Path) -> list[int]:
    """Size of a file, and when its content and when its permissions last changed; empty if there is none to be seen."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name with a NUL in it
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def write_arrow(
    file: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    reporter: Reporter = SILENT,
    what: str = "",
    total: int | None = None,
) -> pa.Table:
    """Write a table as an Arrow file that appears whole or not at all, with its checksum beside it; give it mapped.

    What is raised while the batches are made leaves no file. The reporter is told `what` is done, of `total` rows.
    """
    done = 0
    with atomic_file(file) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                done += batch.num_rows
                reporter.progress(what, done, total)
        with atomic_file(_beside(file)) as checksum:
            checksum.write_text(str(_checksum(temporary)))
    return _mapped(file)


def read_arrow(file: Path) -> pa.Table | None:
    """A table that `write_arrow` wrote, memory-mapped, with a chunk for each batch.

    None if it must be made: it is not there, or, which a warning tells, it is not what was written.
    """
    if not file.exists() or not _beside(file).exists():
        return None
    try:
        if _beside(file).read_text() == str(_checksum(file)):
            return _mapped(file)
    except (OSError, ValueError):  # empty, say
        pass
    _log.warning("%s is damaged or cut short: it is made anew", file)
    return None


def _mapped(file: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _beside(file: Path) -> Path:
    return file.with_suffix(".crc32")


def _checksum(file: Path) -> int:
    with pa.memory_map(str(file)) as content:
        return zlib.crc32(content.read_buffer())
