"""The same pictures in several sources or under several names: each is used once, and validation goes first."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkv.data.randomness import hash_text
from qkv.errors import QkvError

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]


def hash_names(names: Iterable[str], source: Path) -> Hashes:
    """A hash of what each picture is called however it is reached: of its path without links.

    Names are files of pictures, or rows of a source that is a file, such as "t.parquet, row 3".
    """

    @cache
    def real(path: str) -> str:  # looks at every folder on the way
        return os.path.realpath(path)

    def resolved(name: str) -> str:
        if name.startswith(f"{source}, "):
            return real(str(source)) + name.removeprefix(str(source))
        folder, file = os.path.split(name)
        return os.path.realpath(name) if os.path.islink(name) else os.path.join(real(folder), file)

    return np.fromiter((hash_text(resolved(name)) for name in names), np.uint64)


def each_once(hashes: Sequence[Hashes], n_train: int, *, within: bool) -> list[NDArray[np.bool_]]:
    """Which pictures of each source have not come up before: in validation first, then in the order of sources.

    The first `n_train` sources are for training. `within`: what comes up twice in one source counts there once.
    """
    fresh = [np.ones(len(own), bool) for own in hashes]
    known = np.empty(0, np.uint64)
    for number in (*range(n_train, len(hashes)), *range(n_train)):
        own = hashes[number]
        fresh[number] = ~np.isin(own, known)
        if within:
            fresh[number] &= np.isin(np.arange(len(own)), np.unique(own, return_index=True)[1])
        known = np.union1d(known, own)
    return fresh


def hash_content(content: str | Path | bytes | NDArray[Any]) -> int:
    """A hash of what a picture is stored as: of the bytes of a file, or of an array of pixels."""
    short = partial(hashlib.blake2b, digest_size=8)
    if isinstance(content, str | Path):
        try:
            with open(content, "rb") as file:
                found = hashlib.file_digest(file, short)
        except OSError as error:
            raise QkvError(f"{content} cannot be read ({error.strerror}): check it") from None
    else:
        found = short(content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes())
    return int.from_bytes(found.digest(), "little")


def find_copies(contents: Hashes, aside: NDArray[np.bool_], *, within: bool) -> tuple[Indices, Indices]:
    """Which things are copies, by their content, and of which others: of those `aside`, or else of the first.

    What is aside, for validation, is itself no copy. `within`: nor need be aside what others are copies of.
    """
    rest, taken = np.flatnonzero(~aside), np.flatnonzero(aside)
    fresh, _ = each_once([contents[rest], contents[taken]], 1, within=True)
    copies, originals = rest[~fresh], np.concatenate([taken, rest[fresh]])
    order = np.argsort(contents[originals], kind="stable")
    of = originals[order[np.searchsorted(contents[originals], contents[copies], sorter=order)]]
    counted = within | aside[of]
    return copies[counted], of[counted]
