"""Samples in .tar files (WebDataset): an index of where each lies, so that any is read without the ones before it."""

import glob
import re
import struct
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

import pyarrow as pa

from qkv.data.cache import digest, file_state, read_arrow, write_arrow
from qkv.data.folders import is_hidden, look_inside
from qkv.data.pictures.decode import PICTURE_SUFFIXES
from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError
from qkv.files import regular
from qkv.reporter import Reporter

Kind = Literal["image", "text", "json"]

_KINDS: dict[str, Kind] = {".txt": "text", ".json": "json", **dict.fromkeys(PICTURE_SUFFIXES, "image")}
_INDEX = pa.schema(
    [("shard", pa.int32()), ("key", pa.string())]
    + [(f"{kind}_{what}", pa.int64()) for kind in ("image", "text", "json") for what in ("count", "offset", "size")]
)
_NAMED_TAR = re.compile(r"\.(tar(\.\w+)?|tgz)$", re.IGNORECASE)
_UNPACKERS = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_BLOCK = 512  # bytes; a tar file is made of such
_CHUNK = 2**20
_FAULTS = (tarfile.TarError, ValueError, OverflowError, EOFError, struct.error, IndexError)  # of damaged headers

Places = str | list[str]
"""Where shards are: a file, a folder of them, a pattern such as `train-*.tar`, or several of these."""


class Shards:
    """The samples of some .tar files, under numbers from 0 on. A sample is the files of a shard with the same stem.

    The index is memory-mapped and no file is kept open, so samples are read in threads and in forked processes alike.
    """

    def __init__(self, files: Sequence[Path], index: pa.Table) -> None:
        self.files, self._index = files, index

    @classmethod
    def open(cls, places: Places, cache: Path, reporter: Reporter) -> "Shards":
        """Find the shards, and index them unless `cache` holds their index; only headers of files in them are read."""
        files = _find([places] if isinstance(places, str) else places)
        stamps = [[file.resolve(), *file_state(file)] for file in files]
        target = cache / f"shards-{digest(*stamps)}.arrow"
        if (index := read_arrow(target)) is None:
            index = _write_index(files, target, reporter)
        if not index.num_rows:
            raise QkvError(f"{first_place(places)}: no picture is in these {len(files):,} shards")
        return cls(files, index)

    def __len__(self) -> int:
        return self._index.num_rows

    def name(self, index: int) -> str:
        """The shard of a sample, and its stem there."""
        return f"{self._shard(index)}, sample {self._index['key'][index].as_py()}"

    def picture(self, index: int) -> bytes:
        """The encoded picture of a sample."""
        if (content := self.read(index, "image")) is None:
            raise QkvError(f"{self.name(index)} has no picture: complete it, or take it out")
        return content

    def read(self, index: int, kind: Kind) -> bytes | None:
        """A file of a sample; None if it has no such file."""
        count, offset, size = (self._index[f"{kind}_{what}"][index].as_py() for what in ("count", "offset", "size"))
        if count > 1:
            raise QkvError(f"{self.name(index)} has {count} files of the same kind ({kind}): keep one")
        if not count:
            return None
        try:
            with regular(self._shard(index)).open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise QkvError(f"{self.name(index)} cannot be read: {error.strerror or error}") from error
        if len(content) < size:
            raise QkvError(f"{self.name(index)}: the shard ends before byte {offset + size:,}: fetch it again")
        return content

    def _shard(self, index: int) -> Path:
        return self.files[self._index["shard"][index].as_py()]


def first_place(places: Places) -> str:
    """The first place where shards are, for messages."""
    return places if isinstance(places, str) else next(iter(places), "")


def _find(places: Sequence[str]) -> list[Path]:
    if not places:
        raise QkvError("shards names no place: give a .tar file, a folder or a pattern")
    files: list[Path] = []
    for place in places:
        path = Path(place)
        if path.is_dir():
            found = sorted(file for file in look_inside(path).files if _NAMED_TAR.search(file.name) and file.is_file())
        else:
            found = [path] if path.is_file() else sorted(map(Path, glob.glob(place, recursive=True)))
        if not found:
            raise QkvError(f"{place}: there is no .tar file: check the path, folder or pattern")
        files += found
    return list(dict.fromkeys(files))


def _write_index(files: Sequence[Path], target: Path, reporter: Reporter) -> pa.Table:
    batches = (
        pa.RecordBatch.from_pylist([{"shard": number, **sample} for sample in _samples(file)], _INDEX)
        for number, file in enumerate(reporter.track(files, "indexing shards", len(files)))
    )
    try:
        return write_arrow(target, _INDEX, batches)
    except OSError as error:
        raise QkvError(f"cannot index shards in {target}: {error}; free some space, or mend the file") from error


def _samples(path: Path) -> Iterable[dict[str, Any]]:
    """The samples of a shard, in the order in which they begin."""
    samples: dict[str, dict[str, Any]] = {}
    for member in _members(path):
        name = PurePosixPath(member.name)
        kind = _KINDS.get(name.suffix.lower())
        if kind is None or any(map(is_hidden, name.parts)) or not member.isreg():
            continue
        key = without_surrogates(str(name.with_suffix("")))
        nothing = {f"{kind}_{what}": 0 for kind in _KINDS.values() for what in ("count", "offset", "size")}
        sample = samples.setdefault(key, {"key": key, **nothing})
        sample[f"{kind}_count"] += 1
        sample[f"{kind}_offset"], sample[f"{kind}_size"] = member.offset_data, member.size
    return samples.values()


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The headers of an archive; an end that is not a good one is told, which `tarfile` would pass over."""
    length = regular(path).stat().st_size
    with path.open("rb") as file:
        _refuse_compressed(path, file)
        with _named(path, 0):
            archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 (it is the file that is closed)
        while True:
            with _named(path, archive.offset):
                member = archive.next()
            if member is None:
                break
            if member.offset_data + member.size > length:
                raise QkvError(f"{path} ends at byte {length:,}, within {member.name} (from byte "
                               f"{member.offset_data:,}): fetch it again")  # fmt: skip
            yield member
        _check_end(path, file, archive.offset)


@contextmanager
def _named(path: Path, offset: int) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise QkvError(f"{path} is damaged at byte {offset:,} ({reason}): fetch it again") from None


def _refuse_compressed(path: Path, file: BinaryIO) -> None:
    head = file.read(max(map(len, _UNPACKERS)))
    for magic, program in _UNPACKERS.items():
        if head.startswith(magic):
            raise QkvError(f"{path} is compressed, so its samples cannot be found by their place: {program} {path}")
    file.seek(0)


def _check_end(path: Path, file: BinaryIO, offset: int) -> None:
    file.seek(offset)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise QkvError(f"{path} lacks its end mark at byte {offset:,}: it is cut short; fetch it again")
    if any(block):
        raise QkvError(f"{path} is damaged at byte {offset:,} (no header of a file): fetch it again")
    while chunk := file.read(_CHUNK):
        if any(chunk):
            raise QkvError(f"{path} goes on after its end mark at byte {offset:,}: split archives that were joined")
