"""What labels say: of each picture a class, by name or by number."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkv.config import nearest
from qkv.data.lines import read_lines
from qkv.errors import QkvError

_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Labels:
    """Classes of pictures."""

    numbers: NDArray[np.int64]  # of each picture's class
    classes: tuple[str, ...]  # their names
    numbered: bool = False  # whether these are mere numbers, which no file or folder names

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
        told = [str(value) for value in values]
        classes = tuple(names or sorted(set(told)))
        number_of = {name: number for number, name in enumerate(classes)}
        for row, name in zip(rows, told, strict=True):
            if name not in number_of:
                raise QkvError(f"{path}, row {row + 1}: no class {name!r}; {nearest(name, classes)}")
        return cls(np.array([number_of[name] for name in told]), classes)


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
    names = [line.strip() for line in read_lines(Path(given)) if line.strip()] if isinstance(given, str) else given
    where = given if isinstance(given, str) else f"classes of {source}"
    if not names:
        raise QkvError(f"{where}: there is no class; name at least one")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise QkvError(f"{where}: {name!r} is there {count} times; each class has one name")
    return tuple(names)
