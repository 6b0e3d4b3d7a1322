"""Files in folders and below them, through links too, each folder once; hidden ones are passed over."""

import os
from dataclasses import dataclass
from pathlib import Path

from qkv.errors import QkvError


@dataclass(frozen=True)
class Inside:
    """What is in a folder and below it.

    Attributes:
        files: sorted by folder and name, those behind links last; links to files that are not there are among them.
        not_entered: links to folders whose files are found another way already, as of a link to a folder above it.
    """

    files: list[Path]
    not_entered: list[Path]


def look_inside(folder: Path) -> Inside:
    """Find all files in a folder, in those below it, and in those that links in it lead to.

    What is hidden is left out, such as the `._` files that a Mac writes beside others.

    Raises:
        QkvError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise QkvError(f"{error.filename} cannot be read ({error.strerror}): check its permissions") from None

    files: list[Path] = []
    not_entered: list[Path] = []
    entered: set[str] = set()
    waiting = [folder]  # links wait until all else is entered, so that none renames what is there without it
    for start in waiting:
        real = Path(os.path.realpath(start))
        above = *Path(os.path.realpath(start.parent), "_").parents, *Path(os.path.realpath(folder)).parents
        if start is not folder and (real in above or str(real) in entered):
            not_entered.append(start)
            continue
        for place, below, names in os.walk(start, onerror=refuse):
            if (there := os.path.realpath(place)) in entered:
                below.clear()
                continue
            entered.add(there)
            seen = sorted(name for name in below if not is_hidden(name))
            below[:] = [name for name in seen if not os.path.islink(os.path.join(place, name))]
            waiting += [Path(place, name) for name in seen if name not in below]
            files += [Path(place, name) for name in sorted(names) if not is_hidden(name)]
    return Inside(files, not_entered)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, as those of editors and file managers are."""
    return name.startswith(".") and name not in (".", "..")
