"""The captioned pictures of all sources: found, checked, each once, some of them held out for validation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionedPictures, CaptionSource
from qkv.data.pictures.sources import keep_apart
from qkv.data.randomness import derive_seed, hash_text, mix
from qkv.data.unreadable import find_faults
from qkv.errors import QkvError
from qkv.reporter import Reporter

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class CaptionCorpus:
    """The pictures of several sources, numbered on through them; those that cannot be used have numbers too.

    Attributes:
        sources: where they are.
        used: of each source the numbers within it of those that can be read and have captions.
        train: numbers of the pictures to train on.
        validation: of those to validate on.
        left_out: one line for each picture that cannot be used, and for each source with pictures that are not new.
    """

    sources: Sequence[CaptionedPictures]
    used: Sequence[Indices]
    train: Indices
    validation: Indices
    left_out: Sequence[str]

    @classmethod
    def open(
        cls,
        train: Sequence[CaptionSource],
        validation: Sequence[CaptionSource],
        holdout: float,
        cache: Path,
        seed: int,
        reporter: Reporter,
    ) -> "CaptionCorpus":
        """Find all pictures and check that each can be read, unless `cache` says so from an earlier time.

        Args:
            train: sources to train on.
            validation: sources to validate on; if there are none, pictures are held out of training.
            holdout: which share of them. Each is chosen by a hash of its name, so that it stays where it is when
                others come and go.
            cache: a folder for what is found out about them.
            seed: of the choice.
            reporter: is told of the work.

        Raises:
            QkvError: a source cannot be used, or there are too few pictures.
        """
        keep_apart((source.folder for source in (*train, *validation)), cache)
        sources = [open_source(source, cache, reporter) for source in (*train, *validation)]
        left_out: list[str] = []
        used = [_usable(source, cache, reporter, left_out) for source in sources]
        names = [_hashes(source, rows) for source, rows in zip(sources, used)]
        # Validation first: a picture that is in both is for validation.
        order = [*range(len(train), len(sources)), *range(len(train))]
        fresh = _fresh(sources, names, order, left_out)
        starts = _starts(sources)
        numbers = [start + rows[new] for start, rows, new in zip(starts, used, fresh)]
        for_train, for_validation = _joined(numbers[: len(train)]), _joined(numbers[len(train) :])
        if not validation:
            keys = _joined([_hashes(source, rows[new], source.source.path) for source, rows, new in
                            zip(sources, used, fresh)])  # fmt: skip
            held_out = _held_out(keys.view(np.uint64), holdout, seed)
            for_train, for_validation = for_train[~held_out], for_train[held_out]
        if not len(for_train) or not len(for_validation):
            why = f"; {left_out[0]}" if left_out else ""
            raise QkvError(f"{train[0].path}: too few pictures to train on and to validate on{why}")
        return cls(sources, used, for_train, for_validation, left_out)

    @cached_property
    def _starts(self) -> Indices:
        return _starts(self.sources)

    def place(self, picture: int) -> tuple[int, int]:
        """The source of a picture, and its number there."""
        source = int(np.searchsorted(self._starts, picture, side="right")) - 1
        return source, picture - int(self._starts[source])

    def repeats(self, pictures: Indices) -> Indices:
        """How often an epoch shows each of these pictures."""
        of_source = np.array([source.source.repeat for source in self.sources], np.int64)
        return of_source[np.searchsorted(self._starts, pictures, side="right") - 1]

    def name(self, picture: int) -> str:
        """Its file, or its place in one."""
        source, number = self.place(picture)
        return self.sources[source].pictures.name(number)

    def picture(self, picture: int, channels: int, enough: int) -> Image.Image:
        """A picture, grey (1) or in colour (3); `enough` as `open_picture` takes it.

        Raises:
            QkvError: it cannot be read any more.
        """
        source, number = self.place(picture)
        return self.sources[source].pictures.picture(number, channels, enough)


def _usable(source: CaptionedPictures, cache: Path, reporter: Reporter, left_out: list[str]) -> Indices:
    what = f"checking {source.source.path.name}"
    faults = find_faults(source.check, len(source), source.state, what, cache, reporter)
    left_out += faults.values()
    return np.setdiff1d(np.arange(len(source)), np.array(sorted(faults), np.int64))


def _hashes(source: CaptionedPictures, rows: Indices, root: Path | None = None) -> NDArray[np.uint64]:
    """A hash of each picture's name: of its path without links, or of its path from the folder of the source on."""
    place = None if root is None else root if root.is_dir() else root.parent
    folders = lru_cache(maxsize=1024)(os.path.realpath)

    def path(name: str) -> str:
        if place is not None:
            return os.path.relpath(name, place)
        folder, file = os.path.split(name)
        return os.path.realpath(name) if os.path.islink(name) else os.path.join(folders(folder), file)

    return np.fromiter((hash_text(path(source.pictures.name(row))) for row in rows.tolist()), np.uint64, len(rows))


def _fresh(
    sources: Sequence[CaptionedPictures],
    names: Sequence[NDArray[np.uint64]],
    order: Sequence[int],
    left_out: list[str],
) -> list[NDArray[np.bool_]]:
    """Which pictures of each source have not come up before, in a source that is earlier in this order."""
    fresh = [np.ones(len(own), bool) for own in names]
    known = np.empty(0, np.uint64)
    for number in order:
        fresh[number] = ~np.isin(names[number], known)
        known = np.union1d(known, names[number])
        if count := int((~fresh[number]).sum()):
            path = sources[number].source.path
            left_out.append(f"{path}: {count:,} pictures of it are in another source, or in validation, already")
    return fresh


def _held_out(keys: NDArray[np.uint64], share: float, seed: int) -> NDArray[np.bool_]:
    scrambled = mix(keys ^ np.uint64(derive_seed(seed, "holdout")))
    chosen = scrambled < np.uint64(int(share * 2**64))
    if len(keys) > 1 and not chosen.any():
        chosen[np.argmin(scrambled)] = True
    return chosen


def _starts(sources: Sequence[CaptionedPictures]) -> Indices:
    """The number of each source's first picture, and how many there are in all."""
    return np.cumsum([0, *map(len, sources)])


def _joined(arrays: Sequence[NDArray[np.generic]]) -> Indices:
    return np.concatenate([np.empty(0, np.int64), *(array.view(np.int64) for array in arrays)])
