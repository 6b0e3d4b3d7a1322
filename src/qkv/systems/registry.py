"""Which systems there are, and which a model is of. A new one is a folder beside this file and a name in `SYSTEMS`."""

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from qkv.config import nearest
from qkv.errors import QkvError, shown
from qkv.model_directory import RECIPE, bundled_models, find_model, local_model, read_config
from qkv.systems.arguments import checked
from qkv.systems.system import System

if TYPE_CHECKING:
    from qkv.runtime.device import Device
    from qkv.systems.classifier.pipeline import Classifier
    from qkv.systems.painter.pipeline import Painter
    from qkv.systems.translator.pipeline import Translator

SYSTEMS = ("translator", "classifier", "painter", "codes", "scorer")
PARTS = ("saved", "pipeline", "report", "explain", "suggest", "task", "card", "verbs")
"""The files that every system has; `tests/systems/test_registry.py` says what is in each."""


@cache
def systems() -> tuple[System, ...]:
    """All systems, in the order of `SYSTEMS`."""
    return tuple(import_module(f"qkv.systems.{name.replace('-', '_')}").SYSTEM for name in SYSTEMS)


def find_system(name: str, where: str) -> System:
    """The system of that name or alias; refuses another, with the nearest, as said `where`."""
    for system in systems():
        if name in (system.name, system.alias):
            return system
    raise QkvError(f"{where}: system is {shown(name)}; {nearest(str(name)[:80], SYSTEMS)}")


def system_of(name_or_folder: str | Path) -> System:
    """The system of a model; refuses what is no model, or of a system that this version lacks."""
    folder = find_model(name_or_folder)
    return find_system(read_config(folder)["system"], str(folder))


def names_model(word: str) -> bool:
    """Whether the first of several words is a model, or is meant to be one, and no text.

    It is if it is a bundled model's name, or nearly, since a mistyped name must be an error and not be taken for a
    text; a folder of a model or run; or if it has a "/" but no space in it, as folders and names on the hub do.
    """
    # A run that has no model yet: what comes next says so.
    begun = all(ord(c) for c in word) and len(word) < 256 and (Path(word) / RECIPE).is_file()
    nearly = difflib.get_close_matches(word, bundled_models(), n=1, cutoff=0.8)
    return bool(local_model(word) or begun or nearly or ("/" in word and not any(c.isspace() for c in word)))


def check_system(model: str, able: System | tuple[System, ...], what: str, instead: str = "") -> None:
    """Refuse a model of another system than those that can do `what`; says `instead`, or else what the model is for."""
    found = system_of(model)
    if found not in (able if isinstance(able, tuple) else (able,)):
        raise QkvError(f"{model} is {found.called}, which cannot {what}: {instead or found.use}")


def first_bundled(system: System) -> str | None:
    """The first bundled model of a system, in the order of `qkv models`."""
    for name, folder in bundled_models().items():
        if find_system(read_config(folder)["system"], str(folder)) == system:
            return name
    return None


def recognised(data: Sequence[Path], options: Mapping[str, str]) -> list[tuple[System, str]]:
    """The systems that data may be for, the likeliest first, each with what it finds there, in a few words.

    `options` are those of `qkv train` that are given, by name.
    """
    found = ((system, system.part("suggest").recognise(data, options)) for system in systems())
    return [(system, what) for system, what in found if what]


@overload
def load(name_or_folder: Literal["multi30k"], device: "Device | None" = None) -> "Translator": ...


@overload
def load(name_or_folder: Literal["fashion-mnist"], device: "Device | None" = None) -> "Classifier": ...


@overload
def load(name_or_folder: Literal["emoji", "fashion-draw"], device: "Device | None" = None) -> "Painter": ...


@overload
def load(name_or_folder: str | Path, device: "Device | None" = None) -> Any: ...


@checked
def load(name_or_folder: str | Path, device: Any = None) -> Any:
    """Load a trained model: its system's pipeline, such as a `Translator` or a `Classifier`.

    Args:
        name_or_folder: a bundled model's name, a model folder, a run folder, or a hub name ("owner/name").
        device: where it runs, as PyTorch names it; the accelerator if there is one unless given.

    Raises:
        QkvError: there is no such model, or its files are damaged.
    """
    return system_of(name_or_folder).part("pipeline").Pipeline.load(find_model(name_or_folder), device)
