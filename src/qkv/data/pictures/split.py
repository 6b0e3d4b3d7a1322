"""Labelled pictures of several sources: classes joined by name, each picture once, some held out for validation."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qkv.config import nearest
from qkv.data.cache import file_state
from qkv.data.pictures.sources import Pictures, PictureSource, keep_apart
from qkv.data.randomness import derive_seed
from qkv.data.unreadable import find_faults
from qkv.errors import QkvError, one_line
from qkv.files import atomic_file
from qkv.reporter import Reporter

_MOST_HELD_OUT = 5000
_NAMED = 3

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class PictureSet:
    """Readable pictures of several sources, under numbers from 0 on.

    Attributes:
        sources: where they are.
        places: source, and number in it, of each picture.
        labels: class of each picture.
    """

    sources: Sequence[Pictures]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channels: int, enough: int) -> Image.Image:
        """A picture; `enough` as `open_picture` takes it.

        Raises:
            QkvError: it cannot be read any more.
        """
        source, number = self.places[index].tolist()
        return self.sources[source].picture(number, channels, enough)

    def select(self, chosen: NDArray[np.bool_]) -> "PictureSet":
        """Some of the pictures, in the same order."""
        return PictureSet(self.sources, self.places[chosen], self.labels[chosen])


@dataclass(frozen=True)
class PictureSplit:
    """Pictures to train and to validate on; none is in both.

    Attributes:
        classes: their names, in the order in which training sources bring them up.
        train: to train on.
        validation: to validate on.
        unreadable: one line for each picture that cannot be read, and is left out.
        notes: one line for each source with pictures that come up before, or with files that are none.
    """

    classes: tuple[str, ...]
    train: PictureSet
    validation: PictureSet
    unreadable: Sequence[str]
    notes: Sequence[str]

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
        out, so that none moves from training to validation where others have come or gone.

        Args:
            train: sources to train on.
            validation: sources to validate on; if there are none, pictures are held out of training.
            holdout: share of each class that is held out, at most 5,000 pictures in all.
            cache: a folder for what is found out about them.
            seed: of the choice.
            reporter: is told of the work.
            labelled: whether their classes matter.

        Raises:
            QkvError: a source is missing, empty, damaged or has other classes than the rest or than the run began
                with, or there are too few pictures.
        """
        sources = [*train, *validation]
        keep_apart((source.folder for source in sources), cache)
        opened = [Pictures.open(source, cache, labelled, reporter) for source in sources]
        classes = _common_classes(opened, sources, len(train)) if labelled else opened[0].classes
        file = cache / "split.json"
        record = _record(file, classes, train[0].path)
        faults = [_faults(pictures, source, cache, reporter) for pictures, source in zip(opened, sources)]
        notes: list[str] = []
        rows = _each_once(opened, sources, faults, len(train), notes)
        notes += [_passed_over(pictures, source) for pictures, source in zip(opened, sources) if pictures.passed_over]
        for_training = _joined(opened[: len(train)], rows, classes)
        for_validation = _joined(opened[len(train) :], rows[len(train) :], classes)
        choice: dict[str, Any] = {"classes": list(classes), "seed": seed, "holdout": None if validation else holdout}
        if not validation:
            names = _names(for_training, train)
            if all(record.get(what) == value for what, value in choice.items()):
                choice = record  # as the run began, whatever has come and gone since
            else:
                choice["held_out"] = _hold_out(names, for_training.labels, holdout, seed)
            chosen = set(choice["held_out"])
            held_out = np.array([name in chosen for name in names], bool)
            for_training, for_validation = for_training.select(~held_out), for_training.select(held_out)
        if not len(for_training) or not len(for_validation):
            raise QkvError(_too_few(train[0].path, bool(validation), notes))
        if lost := _lost_classes(opened[: len(train)], for_training, classes):
            raise QkvError(
                f"{train[0].path}: of the class {lost[0]!r} no picture is left to train on: none can be read, or all "
                "come up elsewhere too; mend them, or take the class out"
            )
        if choice != record:
            with atomic_file(file) as temporary:
                temporary.write_text(json.dumps(choice), encoding="utf-8")
        unreadable = [line for found in faults for line in found.values()]
        return cls(classes, for_training, for_validation, unreadable, notes)


def _common_classes(opened: Sequence[Pictures], sources: Sequence[PictureSource], n_train: int) -> tuple[str, ...]:
    """The classes of all training sources, in the order in which they come up."""
    numbering = [source.path for pictures, source in zip(opened, sources) if pictures.numbered]
    naming = [source.path for pictures, source in zip(opened, sources) if not _spell_numbers(pictures.classes)]
    if numbering and naming:
        raise QkvError(
            f"{naming[0]} names its classes, but {numbering[0]} numbers them: give {numbering[0]} the names as classes"
        )
    classes = tuple(dict.fromkeys(name for pictures in opened[:n_train] for name in pictures.classes))
    for pictures, source in zip(opened[n_train:], sources[n_train:]):
        for name in (pictures.classes[label] for label in np.unique(pictures.labels)):
            if name not in classes:
                raise QkvError(
                    f"{source.path} has a class {name!r}, which {sources[0].path} lacks; {nearest(name, classes)}"
                )
    if classes == classes[:1]:
        raise QkvError(f"{sources[0].path}: all pictures are of one class, {classes[0]!r}; add one of another")
    return classes


def _spell_numbers(classes: Sequence[str]) -> bool:
    return all(name.isdecimal() and str(int(name)) == name for name in classes)


def _record(file: Path, classes: tuple[str, ...], source: Path) -> dict[str, Any]:
    """What the run began with; nothing if it begins now.

    Raises:
        QkvError: it began with other classes, or the file is damaged.
    """
    if not file.exists():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        before = record["classes"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise QkvError(f"{file} cannot be read ({one_line(error)}): restore it, or begin a new run") from None
    if before != list(classes):
        changes = [f"{name!r} is gone" for name in before if name not in classes]
        changes += [f"{name!r} is new" for name in classes if name not in before]
        what = ", ".join(changes[:_NAMED]) or "they come in another order"
        raise QkvError(
            f"{source}: these are not the classes that the run began with ({what}): restore them, or begin a new run; "
            f"if this one has not trained yet, remove {file}"
        )
    return record


def _faults(pictures: Pictures, source: PictureSource, cache: Path, reporter: Reporter) -> dict[int, str]:
    """What is wrong with which pictures. All are decoded, once for each state of the files."""
    if source.images is not None:  # these are in memory already
        return {}
    names = map(pictures.name, range(len(pictures)))
    files = [[str(source), file_state(source.path)], *([name, file_state(Path(name))] for name in names)]
    files += [[str(file), file_state(file)] for file in pictures.files]
    state = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
    # A small copy of a JPEG is made of all its data, so that what is damaged shows just the same.
    return find_faults(
        lambda index: pictures.picture(index, 3, enough=1),
        len(pictures),
        state,
        f"checking {source.path.name}",
        cache,
        reporter,
    )


def _each_once(
    opened: Sequence[Pictures],
    sources: Sequence[PictureSource],
    faults: Sequence[Mapping[int, str]],
    n_train: int,
    notes: list[str],
) -> list[Indices]:
    """The readable pictures of each source that have not come up before: validation first, then training."""
    rows: list[Indices] = [np.empty(0, np.int64)] * len(opened)
    known: set[str] = set()
    for number in (*range(n_train, len(opened)), *range(n_train)):
        real, fresh = _without_links(), []
        for row in range(len(opened[number])):
            if row not in faults[number]:
                name = _resolved(opened[number].name(row), sources[number].path, real)
                if name not in known:
                    known.add(name)
                    fresh.append(row)
        if repeated := len(opened[number]) - len(faults[number]) - len(fresh):
            where = sources[number].path
            notes.append(f"{where}: left out, {repeated:,} in all, that come up before or are in validation too")
        rows[number] = np.array(fresh, np.int64)
    return rows


def _without_links() -> Callable[[str], str]:
    """`os.path.realpath`, which looks at every folder of a path, once for each of these paths."""

    @cache
    def real(path: str) -> str:
        return os.path.realpath(path)

    return real


def _resolved(name: str, source: Path, real: Callable[[str], str]) -> str:
    """What a picture is called however it is reached: its file, or the file that it is a row of, without links."""
    if name.startswith(f"{source}, "):
        return real(str(source)) + name.removeprefix(str(source))
    folder, file = os.path.split(name)
    return os.path.realpath(name) if os.path.islink(name) else os.path.join(real(folder), file)


def _joined(opened: Sequence[Pictures], rows: Sequence[Indices], classes: Sequence[str]) -> PictureSet:
    places, labels = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    known = {name: number for number, name in enumerate(classes)}
    for number, (own, good) in enumerate(zip(opened, rows)):
        places.append(np.stack([np.full(len(good), number), good], axis=1))
        # A class that is named in validation but has no picture there need not be trained on.
        labels.append(np.array([known.get(name, -1) for name in own.classes])[own.labels[good]])
    return PictureSet(opened, np.concatenate(places), np.concatenate(labels))


def _lost_classes(opened: Sequence[Pictures], training: PictureSet, classes: Sequence[str]) -> list[str]:
    """Classes that have pictures, but none to train on."""
    there = {pictures.classes[label] for pictures in opened for label in np.unique(pictures.labels)}
    left = {classes[label] for label in np.unique(training.labels)}
    return [name for name in classes if name in there - left]


def _names(pictures: PictureSet, sources: Sequence[PictureSource]) -> list[str]:
    """What each picture is called within the sources, which may be moved."""
    roots = [str(source.path if source.folder is not None else source.path.parent) for source in sources]
    return [
        f"{number}:{pictures.sources[number].name(row).removeprefix(roots[number])}"
        for number, row in pictures.places.tolist()
    ]


def _hold_out(names: Sequence[str], labels: NDArray[np.int64], share: float, seed: int) -> list[str]:
    """The same share of each class, rounded, in the order of hashes; a class of a single picture gives none."""
    share = min(share, _MOST_HELD_OUT / max(len(names), 1))
    hashes = np.array([derive_seed(seed, "holdout", name) for name in names], np.int64)
    chosen: list[int] = []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        chosen += members[np.argsort(hashes[members])[:count]].tolist()
    return [names[number] for number in chosen]


def _too_few(source: Path, validated: bool, notes: Sequence[str]) -> str:
    why = f" ({notes[0]})" if notes else ""
    what = "train and to validate on" if validated else "hold any out for validation"
    return f"{source}: too few pictures to {what}{why}; add pictures, or name other validation sources"


def _passed_over(pictures: Pictures, source: PictureSource) -> str:
    files = pictures.passed_over
    names = ", ".join(map(str, files[:_NAMED])) + (", …" if len(files) > _NAMED else "")
    return f"{source.path}: passed over, {len(files):,} in all, no pictures by name or in no class folder: {names}"
