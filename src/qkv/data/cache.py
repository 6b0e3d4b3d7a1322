"""What is derived from files of data and kept: keys to know it by, and tables that are whole or are made anew."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
            checksum.write_text(f"{_checksum(temporary)} {file.name}")
    return map_arrow(file)


def read_arrow(file: Path) -> pa.Table | None:
    """A table that `write_arrow` wrote, memory-mapped, with a chunk for each batch.

    None if it must be made: it is not there, or, which a warning tells, it is not what was written.
    """
    if not file.exists() or not _beside(file).exists():
        return None
    try:
        checksum, *name = _beside(file).read_text().split(" ", 1)
        # Older versions noted no name, by which a table is known that took another's place with all it has.
        if checksum == str(_checksum(file)) and name in ([], [file.name]):
            return map_arrow(file)
    except (OSError, ValueError):  # empty, say
        pass
    _log.warning("%s is damaged or cut short: it is made anew", file)
    return None


def write_record(file: Path, record: Any) -> None:
    """Write what JSON can hold, with a checksum, as a file that appears whole or not at all."""
    with atomic_file(file) as temporary:
        whole = {"record": record, "checksum": digest(file.name, record)}
        temporary.write_text(json.dumps(whole), encoding="utf-8")


def read_record(file: Path) -> Any:
    """What `write_record` wrote; and what older versions did, without a checksum.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        found = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError("it is damaged") from None
    if not isinstance(found, dict) or "record" not in found:
        return found
    if found.get("checksum") != digest(file.name, found["record"]):
        raise ValueError("its checksum is another")
    return found["record"]


def map_arrow(file: Path) -> pa.Table:
    """A table, memory-mapped, of a file that is known to be whole."""
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _beside(file: Path) -> Path:
    return file.with_suffix(".crc32")


def _checksum(file: Path) -> int:
    with pa.memory_map(str(file)) as content:
        return zlib.crc32(content.read_buffer())
