"""The same pictures in several sources: each is used once, and validation goes first."""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.randomness import hash_text

Hashes = NDArray[np.uint64]


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
