"""Which systems there are. A new one is a folder beside this file and one more name in `SYSTEMS`."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from qkv.config import nearest
from qkv.errors import QkvError
from qkv.model_directory import find_model, read_config
from qkv.systems.system import System

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
    raise QkvError(f"{where}: system is {name!r}; {nearest(str(name), SYSTEMS)}")


def system_of(name_or_folder: str | Path) -> System:
    """The system of a model; refuses what is no model, or of a system that this version lacks."""
    folder = find_model(name_or_folder)
    return find_system(read_config(folder)["system"], str(folder))


def recognised(data: Sequence[Path], options: Mapping[str, str]) -> list[tuple[System, str]]:
    """The systems that data may be for, the likeliest first, each with what it finds there, in a few words.

    `options` are those of `qkv train` that are given, by name.
    """
    found = ((system, system.part("suggest").recognise(data, options)) for system in systems())
    return [(system, what) for system, what in found if what]


def load(name_or_folder: str | Path, device: str | None = None) -> Any:
    """Load a trained model: its system's pipeline, such as a `Translator` or a `Classifier`.

    Args:
        name_or_folder: a bundled model's name, a model folder, a run folder, or a hub name ("owner/name").
        device: where it runs, as PyTorch names it; the accelerator if there is one unless given.

    Raises:
        QkvError: there is no such model, or its files are damaged.
    """
    return system_of(name_or_folder).part("pipeline").Pipeline.load(find_model(name_or_folder), device)
