"""Pictures of several sources: classes joined by name, each picture once, some held out for validation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qkv.config import nearest
from qkv.data.cache import digest, read_record, write_record
from qkv.data.pictures.labels import alike, spell_numbers, tidy
from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import Indices, Pictures, PictureSet, PictureSource, keep_apart
from qkv.data.randomness import derive_seed
from qkv.data.repeats import Hashes, each_once, find_copies, hash_names
from qkv.data.unreadable import survey
from qkv.errors import QkvError, one_line
from qkv.reporter import Reporter

_MOST_HELD_OUT = 5000
_NAMED = 3

Checked = tuple[Pictures, Callable[[int], int], str]
"""The pictures of a source, what hashes one's content or raises QkvError if it cannot be used, and a digest of all that
this depends on."""


@dataclass(frozen=True)
class Usable:
    """What can be used of several sources."""

    readable: list[Indices]  # of each source, the numbers of its pictures that can be read
    fresh: list[Indices]  # of these, those that have not come up before
    unreadable: list[str]  # one line for each picture that cannot be read
    contents: Hashes  # of each that is fresh, source by source
    repeated: list[tuple[Path, int]]  # each source with pictures that come up before, and how many; validation first

    @classmethod
    def find(cls, sources: Sequence[Checked], n_train: int, cache: Path, reporter: Reporter, *, within: bool) -> Self:
        """Read every picture once for each state of its files; names tell which come up before, `within` a source too.

        The first `n_train` sources are for training, the others for validation.
        """
        readable, unreadable, contents = [], [], []
        for pictures, check, state in sources:
            faults, found = survey(check, len(pictures), state, f"checking {pictures.path.name}", cache, reporter)
            contents.append(found)
            readable.append(np.setdiff1d(np.arange(len(pictures)), np.array([*faults], np.int64)))
            unreadable += faults.values()
        opened = [pictures for pictures, _, _ in sources]
        hashes = [hash_names(map(own.name, rows.tolist()), own.path) for own, rows in zip(opened, readable)]
        new = each_once(hashes, n_train, within=within)
        order = (*range(n_train, len(sources)), *range(n_train))
        repeated = [(opened[number].path, int((~new[number]).sum())) for number in order if not new[number].all()]
        fresh = [rows[own] for rows, own in zip(readable, new)]
        joined = np.concatenate([found[rows] for found, rows in zip(contents, fresh)])
        return cls(readable, fresh, unreadable, joined, repeated)


@dataclass(frozen=True)
class PictureSplit:
    """Pictures to train and to validate on; none is in both."""

    classes: tuple[str, ...]  # in the order in which training sources bring them up
    train: PictureSet
    validation: PictureSet
    unreadable: Sequence[str]  # one line for each picture that cannot be read, and is left out
    notes: Sequence[str]  # one line for each source with pictures that come up before, or with files that are none

    @classmethod
    def open(
        cls,
        train: Sequence[PictureSource],
        validation: Sequence[PictureSource],
        holdout: float,
        cache: Path,
        seed: int,
        reporter: Reporter,
        labelled: bool = True,
    ) -> "PictureSplit":
        """Find the pictures and check that each can be read, unless `cache` says so from an earlier time.

        What a run began with is kept in `cache`, and holds when it goes on: its classes, and which pictures it held
        out, so that none moves from training to validation where others have come or gone. With no source to validate
        on, this share of each class is held out of training, at most 5,000 pictures in all.
        """
        sources = [*train, *validation]
        keep_apart((source.folder for source in sources), cache)
        opened = [open_pictures(source, cache, labelled, reporter) for source in sources]
        classes = _common_classes(opened, len(train)) if labelled else opened[0].classes
        file = cache / "split.json"
        record = _record(file, classes, train[0].path)
        checked = [(own, own.check, digest(repr(source), own.state)) for own, source in zip(opened, sources)]
        found = Usable.find(checked, len(train), cache, reporter, within=True)
        notes = [f"{path}: left out, {repeated:,} in all, that come up before or are in validation too"
                 for path, repeated in found.repeated]  # fmt: skip
        notes += [note for pictures in opened for note in pictures.notes] + alike(classes)
        pictures = PictureSet.joined(opened, found.fresh, classes)
        names = _names(pictures, sources)
        choice: dict[str, Any] = {"classes": list(classes), "seed": seed, "holdout": None if validation else holdout}
        if not validation and all(record.get(what) == value for what, value in choice.items()):
            choice = record  # as the run began, whatever has come and gone since
        chosen = set(choice.get("held_out", ()))
        aside = (pictures.places[:, 0] >= len(train)) | np.array([name in chosen for name in names], bool)
        copies, originals = find_copies(found.contents, aside, within=True)
        notes += [f"left out, {line}" for line in tell_copies(pictures, copies, originals, classes)]
        used = np.setdiff1d(np.arange(len(pictures)), copies)
        if not validation and choice is not record:
            held_out = _hold_out([names[number] for number in used], pictures.labels[used], holdout, seed)
            choice["held_out"] = [names[number] for number in used[held_out]]
            aside[used[held_out]] = True
        for_training, for_validation = (pictures.select(used[aside[used] == side]) for side in (False, True))
        if not len(for_training) or not len(for_validation):
            what = "train and to validate on" if validation else "hold any out for validation"
            why = f" ({notes[0]})" if notes else ""
            raise QkvError(f"{train[0].path}: too few pictures to {what}{why}; add pictures, or name other validation "
                           "sources")  # fmt: skip
        if lost := _lost_classes(opened[: len(train)], for_training, classes):
            raise QkvError(f"{train[0].path}: of the class {lost[0]!r} no picture is left to train on: none can be "
                           "read, or all come up elsewhere too; mend them, or take the class out")  # fmt: skip
        if choice != record:
            write_record(file, choice)
        return cls(classes, for_training, for_validation, found.unreadable, notes)


def _common_classes(opened: Sequence[Pictures], n_train: int) -> tuple[str, ...]:
    """The classes of all training sources, in the order in which they come up."""
    numbering = [pictures.path for pictures in opened if pictures.told.numbered]
    naming = [pictures.path for pictures in opened if not spell_numbers(pictures.classes)]
    if numbering and naming:
        what = f"{naming[0]} names its classes, but {numbering[0]} numbers them"
        raise QkvError(f"{what}: give {numbering[0]} the names as classes")
    classes = tuple(dict.fromkeys(name for pictures in opened[:n_train] for name in pictures.classes))
    for pictures in opened[n_train:]:
        for name in (pictures.classes[label] for label in np.unique(pictures.labels)):
            if name not in classes:
                what = f"{pictures.path} has a class {name!r}, which {opened[0].path} lacks"
                raise QkvError(f"{what}; {nearest(name, classes)}")
    if classes == classes[:1]:
        raise QkvError(f"{opened[0].path}: all pictures are of one class, {classes[0]!r}; add one of another")
    return classes


def _record(file: Path, classes: tuple[str, ...], source: Path) -> dict[str, Any]:
    """What the run began with, with the same classes; nothing if it begins now."""
    if not file.exists():
        return {}
    try:
        record = read_record(file)
        record["classes"] = before = [tidy(name) for name in record["classes"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise QkvError(f"{file} cannot be read ({one_line(error)}): restore it, or begin a new run") from None
    if before != list(classes):
        changes = [f"{name!r} is gone" for name in before if name not in classes]
        changes += [f"{name!r} is new" for name in classes if name not in before]
        what = ", ".join(changes[:_NAMED]) or "they come in another order"
        raise QkvError(f"{source}: these are not the classes that the run began with ({what}): restore them, or begin "
                       f"a new run; if this one has not trained yet, remove {file}")  # fmt: skip
    return record


def _lost_classes(opened: Sequence[Pictures], training: PictureSet, classes: Sequence[str]) -> list[str]:
    """Classes that have pictures, but none to train on."""
    there = {pictures.classes[label] for pictures in opened for label in np.unique(pictures.labels)}
    left = {classes[label] for label in np.unique(training.labels)}
    return [name for name in classes if name in there - left]


def _names(pictures: PictureSet, sources: Sequence[PictureSource]) -> list[str]:
    """What each picture is called within the sources, which may be moved."""
    roots = [str(source.path if source.folder is not None else source.path.parent) for source in sources]
    places = ((number, pictures.sources[number].name(row)) for number, row in pictures.places.tolist())
    return [f"{number}:{name.removeprefix(roots[number])}" for number, name in places]


def tell_copies(
    pictures: PictureSet, copies: Indices, originals: Indices, classes: Sequence[str] = ()
) -> Iterator[str]:
    """A line about pictures that are left out as they are, byte for byte, others too, and one if of other classes."""
    if len(copies):
        example = f"{pictures.name(int(copies[0]))} of {pictures.name(int(originals[0]))}"
        yield f"{len(copies):,} copies of pictures that come up before or are in validation too, such as {example}"
    strange = np.flatnonzero(pictures.labels[copies] != pictures.labels[originals])
    if len(strange):
        both = (int(numbers[strange[0]]) for numbers in (copies, originals))
        example = " of ".join(f"{pictures.name(number)} ({classes[pictures.labels[number]]})" for number in both)
        yield f"{len(strange):,} of these copies though they are of another class, such as {example}"


def _hold_out(names: Sequence[str], labels: NDArray[np.int64], share: float, seed: int) -> list[int]:
    """The same share of each class, rounded, in the order of hashes; a class of a single picture gives none."""
    share = min(share, _MOST_HELD_OUT / max(len(names), 1))
    hashes = np.array([derive_seed(seed, "holdout", name) for name in names], np.int64)
    chosen: list[int] = []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        chosen += members[np.argsort(hashes[members])[:count]].tolist()
    return chosen
