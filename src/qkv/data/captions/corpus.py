"""The captioned pictures of all sources: found, checked, each once, some of them held out for validation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionedPictures, CaptionSource
from qkv.data.pictures.sources import Indices, PictureSet, keep_apart
from qkv.data.pictures.split import Usable, tell_copies
from qkv.data.randomness import derive_seed, hash_text, mix
from qkv.data.repeats import find_copies
from qkv.errors import QkvError
from qkv.reporter import Reporter


@dataclass(frozen=True)
class CaptionCorpus:
    """The pictures of several sources, numbered from one source to the next, those that cannot be used included."""

    sources: Sequence[CaptionedPictures]
    used: Sequence[Indices]  # of each source the numbers within it of pictures that can be read and have captions
    train: Indices
    validation: Indices
    left_out: Sequence[str]  # a line for each picture that cannot be used, and each source with some that are not new

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

        If there are no sources to validate on, a share of the others is held out: each picture by a hash of its name,
        so that it stays where it is when others come and go. Copies of what is validated on are left out; others are
        shown, since their captions may be others too.
        """
        keep_apart((source.folder for source in (*train, *validation)), cache)
        sources = [open_source(source, cache, reporter) for source in (*train, *validation)]
        checked = [(source.pictures, source.check, source.state) for source in sources]
        found = Usable.find(checked, len(train), cache, reporter, within=False)
        already = "pictures of it are in another source, or in validation, already"
        left_out = found.unreadable + [f"{path}: {count:,} {already}" for path, count in found.repeated]
        numbers = np.concatenate([first + rows for first, rows in zip(np.cumsum([0, *map(len, sources)]), found.fresh)])
        aside = np.repeat(np.arange(len(sources)) >= len(train), list(map(len, found.fresh)))
        if not validation:
            held_out = _held_out(sources, found.fresh, holdout, seed)
            first = np.unique(found.contents, return_index=True)[1]  # decides for its copies
            aside[first] = held_out[first]
        copies, originals = find_copies(found.contents, aside, within=False)
        pictures = PictureSet.joined([source.pictures for source in sources], found.fresh)
        left_out += tell_copies(pictures, copies, originals)
        used = np.setdiff1d(np.arange(len(numbers)), copies)
        for_train, for_validation = (numbers[used[aside[used] == side]] for side in (False, True))
        if not len(for_train) or not len(for_validation):
            why = f"; {left_out[0]}" if left_out else ""
            raise QkvError(f"{train[0].path}: too few pictures to train on and to validate on{why}")
        return cls(sources, found.readable, for_train, for_validation, left_out)

    @cached_property
    def pictures(self) -> PictureSet:
        """All of them, by number."""
        pictures = [source.pictures for source in self.sources]
        return PictureSet.joined(pictures, [np.arange(len(own)) for own in pictures])


def _held_out(
    sources: Sequence[CaptionedPictures], rows: Sequence[Indices], share: float, seed: int
) -> NDArray[np.bool_]:
    """Which pictures are chosen, by a hash of each one's path from the folder of its source on; one at least."""
    keys: list[int] = []
    for source, own in zip(sources, rows):
        path, name = source.source.path, source.pictures.name
        folder = path if path.is_dir() else path.parent
        keys += (hash_text(os.path.relpath(name(row), folder)) for row in own.tolist())
    scrambled = mix(np.array(keys, np.uint64) ^ np.uint64(derive_seed(seed, "holdout")))
    chosen = scrambled < np.uint64(int(share * 2**64))
    if len(keys) > 1 and not chosen.any():
        chosen[np.argmin(scrambled)] = True
    return chosen
