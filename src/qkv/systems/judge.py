"""What judges pictures, whatever model is behind it: by a caption, or by reading classes; and which class one names."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from qkv.data.pictures.decode import Picture
from qkv.errors import QkvError
from qkv.systems.registry import load, system_of, systems
from qkv.systems.system import System

_SHOWN = 12  # labels in a message
_ALTERNATIVES = re.compile(r"[/,;|]")  # "T-shirt/top" and "tench, Tinca tinca" name one class in two ways
_SPACE = re.compile(r"[\s_]+")


@runtime_checkable
class Judge(Protocol):
    """Says how well pictures suit a caption."""

    def judge(self, caption: str, images: Sequence[Image.Image]) -> list[float]:
        """A number for each picture, higher where it suits the caption better; only their order means something.

        No pictures are fine, and tell whether the caption can be judged by.

        Raises:
            QkvError: the caption cannot be judged by, however many pictures there are.
        """
        ...


class Read(Protocol):
    """A class that is read from a picture."""

    @property
    def label(self) -> str:
        """Its name."""
        ...


class ClassReader(Protocol):
    """Says which class a picture is of, and by what it tells."""

    @property
    def labels(self) -> Sequence[str]:
        """The classes."""
        ...

    def classify(
        self, images: Sequence[Picture], top_k: int = 5, progress: Callable[[int, int], None] | None = None
    ) -> Sequence[Sequence[Read]]:
        """The most probable classes of each picture, best first."""
        ...

    def features(self, images: Sequence[Picture]) -> Float[Tensor, "N D"]:
        """What the classes are read from: a vector for each picture."""
        ...


def open_judge(model: str, device: str | None = None) -> Judge:
    """Load a model that judges pictures by a caption; refuses one that cannot."""
    return _open(model, ("judge",), "judge pictures", device)


def open_reader(model: str, device: str | None = None) -> ClassReader:
    """Load a model that reads classes from pictures; refuses one that cannot."""
    return _open(model, ("classify", "features"), "judge what pictures show", device)


def _open(model: str, methods: Sequence[str], what: str, device: str | None) -> Any:
    def able(system: System) -> bool:
        return all(hasattr(system.part("pipeline").Pipeline, method) for method in methods)

    if not able(found := system_of(model)):
        instead = " or ".join(system.called for system in systems() if able(system))
        raise QkvError(f"{model} is {found.called}, which cannot {what}: give {instead}")
    return load(model, device)


def named_label(caption: str, labels: Sequence[str]) -> int:
    """The number of the one label that a caption names.

    A label is named if it stands there in whole words, in capitals or not, in the singular or with an "s": "boots"
    names "boot", "T-shirt" does not name "shirt". An underscore in a label is a space. Of a label with alternatives,
    such as "T-shirt/top", one is enough. Where one label is part of another ("dog", "hot dog"), the longer is named.

    Raises:
        QkvError: the caption names none of them, or several.
    """
    by_name: dict[str, set[int]] = {}
    for number, label in enumerate(labels):
        for name in filter(None, map(_plain, (label, *_ALTERNATIVES.split(label)))):
            by_name.setdefault(name, set()).add(number)
    names = "|".join(map(re.escape, sorted(by_name, key=len, reverse=True)))
    said = re.findall(rf"(?<![\w-])({names})(?:e?s)?(?![\w-])", _plain(caption)) if by_name else []
    found = sorted(set[int]().union(*(by_name[name] for name in said)))
    if len(found) == 1:
        return found[0]
    named = " and ".join(labels[number] for number in found) or "none"
    known = ", ".join(labels[:_SHOWN]) + (f" and {len(labels) - _SHOWN:,} more" if len(labels) > _SHOWN else "")
    must = "must name exactly one label of the classifier"
    raise QkvError(f"the caption {caption[:80]!r} {must}, but names {named}; the labels: {known}")


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
