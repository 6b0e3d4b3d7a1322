"""What labels say: of each picture a class, by name or by number."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkv.config import nearest
from qkv.data.lines import read_lines
from qkv.errors import QkvError
from qkv.files import is_utf8

_MOST_CLASSES = 1_000_000
_JOINERS = frozenset("\u200c\u200d")  # invisible, but they change what is around them
_TAGS = range(0xE0020, 0xE0080)  # of flags, such as Scotland's
_NAMED = 3


@dataclass(frozen=True)
class Labels:
    """Classes of pictures."""

    numbers: NDArray[np.int64]  # of each picture's class
    classes: tuple[str, ...]  # their names
    numbered: bool = False  # whether these are mere numbers, which no file or folder names
    notes: Sequence[str] = ()  # which are written in several ways, a line

    @classmethod
    def none(cls, count: int) -> "Labels":
        """Of pictures that have none: all are of one class."""
        return cls(np.zeros(count, np.int64), ("pictures",))

    @classmethod
    def read(cls, values: Sequence[Any], rows: Sequence[int], names: Sequence[str] | None, path: Path) -> "Labels":
        """Labels as a file tells them: numbers, text that spells numbers, or names.

        `rows` and `path` are where they stand, for messages; `names` are those of the classes by number, if given.
        """
        for row, value in zip(rows, values, strict=True):
            if value is None or value == "":
                raise QkvError(f"{path}, row {row + 1} has no label: complete it, or take it out")
        if numbers := _as_numbers(values, names or ()):
            most = len(names) if names else _MOST_CLASSES
            for row, number in zip(rows, numbers, strict=True):
                if not 0 <= number < most:
                    numbered = f"{most:,} classes are numbered from 0 to {most - 1:,}"
                    raise QkvError(f"{path}, row {row + 1}: label {number}, but {numbered}")
            classes = tuple(names or map(str, range(max(numbers) + 1)))
            return cls(np.array(numbers, np.int64), classes, numbered=names is None)
        return cls._named(
            [_text(value, f"{path}, row {row + 1}") for row, value in zip(rows, values)], rows, names, path
        )

    @classmethod
    def _named(cls, told: Sequence[str], rows: Sequence[int], names: Sequence[str] | None, path: Path) -> "Labels":
        """Labels that are names, of `names` if given."""
        labels = [tidy(name) for name in told]
        classes = tuple(names or sorted(set(labels)))
        number_of = {name: number for number, name in enumerate(classes)}
        for row, name in zip(rows, labels, strict=True):
            if not name:
                raise QkvError(f"{path}, row {row + 1} has no label: complete it, or take it out")
            if name not in number_of:
                raise QkvError(f"{path}, row {row + 1}: no class {name!r}; {nearest(name, classes)}")
        return cls(np.array([number_of[name] for name in labels]), classes, notes=retold(told, path))

    @classmethod
    def of_folders(cls, numbers: Sequence[int], folders: Sequence[Path]) -> "Labels":
        """Classes that are named after folders; `numbers` tell which of these each picture is in."""
        names: list[str] = []
        for folder in folders:
            if not is_utf8(folder.name) or not tidy(folder.name):
                fault = "is blank" if is_utf8(folder.name) else "is not UTF-8"
                raise QkvError(f"{folder}: the name of this folder {fault}, and a class is named after it: rename it")
            names.append(tidy(folder.name))
        classes = tuple(dict.fromkeys(names))
        number_of = np.array([classes.index(name) for name in names])
        return cls(number_of[numbers], classes, notes=retold([folder.name for folder in folders], folders[0].parent))


def tidy(name: str) -> str:
    """The name of a class as it looks: composed (NFC), blanks single and none around it, nothing invisible in it."""
    composed = unicodedata.normalize("NFC", name)
    seen = (c for c in composed if unicodedata.category(c) != "Cf" or c in _JOINERS or ord(c) in _TAGS)
    return " ".join("".join(seen).split())


def retold(names: Sequence[str], where: Path) -> list[str]:
    """A line about names that `tidy` changes, if there are any."""
    changed = Counter(name for name in names if tidy(name) != name)
    shown = ", ".join(f"{name!a} as {tidy(name)!r}" for name in sorted(changed)[:_NAMED])
    what = (
        "names of classes have stray blanks, invisible characters or accents as characters of their own, and are read"
    )
    return [f"{where}: {changed.total():,} {what} {shown}{', …' if len(changed) > _NAMED else ''}"] if changed else []


def alike(classes: Iterable[str]) -> list[str]:
    """A line for each group of classes whose names differ in case or in the width of letters alone."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    same = [" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
    return [f"classes {names} differ in case alone: if they mean the same, give them one name" for names in same]


def _text(value: Any, where: str) -> str:
    """A label that is no number, as text."""
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise QkvError(f"{where}: label {value[:40]!r} is not UTF-8 (byte {error.start}): convert it") from None


def _as_numbers(values: Sequence[Any], names: Sequence[str]) -> list[int] | None:
    """Labels that are numbers, or text that spells them, unless they are the very names of the classes."""
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return list(values)
    if not all(isinstance(value, str) and value.isdecimal() and len(value) < 10 for value in values):
        return None
    return list(map(int, values)) if spell_numbers(values) and not set(values) <= set(names) else None


def spell_numbers(names: Sequence[str]) -> bool:
    """Whether names are numbers from 0 on as they are written, without leading zeros."""
    return all(name.isdecimal() and str(int(name)) == name for name in set(names))


def class_names(given: Sequence[str] | str | None, source: Path) -> tuple[str, ...] | None:
    """Names for numbered labels: as they are given, or the lines of a text file; each once."""
    if given is None:
        return None
    names = [name for line in read_lines(Path(given)) if (name := tidy(line))] if isinstance(given, str) else given
    where = given if isinstance(given, str) else f"classes of {source}"
    if not names:
        raise QkvError(f"{where}: there is no class; name at least one")
    name, count = Counter(map(tidy, names)).most_common(1)[0]
    if count > 1:
        raise QkvError(f"{where}: {name!r} is there {count} times; each class has one name")
    return tuple(map(tidy, names))
