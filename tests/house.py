"""What the house asks of every system, as functions of a source tree: so a planted fault can be shown to be found."""

import ast
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qkv.systems.registry import PARTS
from qkv.systems.system import FUNCTIONS, Suggested, System
from qkv.train.task import Task

SOURCE = Path(__file__).resolve().parent.parent / "src" / "qkv"
KNOWN_TO = {"codes": ("painter",)}
"""Systems that another one is built on."""
OTHER_VOCABULARY = ("data", "models", "nn", "metrics", "interop")
"""Rooms below systems, whose words may be the same ("codes" of a picture, "vit" of another library)."""


def faults_of(system: System) -> Iterator[str]:
    """What a system lacks of the files that every system has, with what is to be in them."""
    folder = SOURCE / "systems" / system.name.replace("-", "_")
    for part in PARTS:
        if not (folder / f"{part}.py").is_file():
            yield f"{system.name} has no {part}.py"
            return
    saved: Any
    saved, pipeline, task = system.part("saved").Saved, system.part("pipeline").Pipeline, system.part("task").TASK
    if not (dataclasses.is_dataclass(saved) and getattr(saved, "__dataclass_params__").frozen):  # noqa: B009
        yield f"{system.name}: Saved is no frozen dataclass"
    if getattr(saved, "system", "") != system.name or not isinstance(inspect.getattr_static(saved, "knows"), property):
        yield f"{system.name}: Saved.system must be its name, and Saved.knows a property"
    if list(inspect.signature(pipeline.load).parameters) != ["folder", "device"]:
        yield f"{system.name}: Pipeline.load must take a folder and a device"
    if not issubclass(task, Task) or inspect.isabstract(task) or not dataclasses.is_dataclass(task.Config):
        yield f"{system.name}: TASK must be a whole Task, whose Config is a dataclass"
    suggest = system.part("suggest")
    if list(inspect.signature(suggest.suggest).parameters) != ["asked", "reporter"]:
        yield f"{system.name}: suggest must take what is asked, and a reporter"
    if inspect.signature(suggest.suggest).return_annotation not in (Suggested, "Suggested"):
        yield f"{system.name}: suggest must return what is Suggested"
    if list(inspect.signature(suggest.recognise).parameters) != ["data", "options"]:
        yield f"{system.name}: recognise must take data and options"
    for part, function in (("report", "report"), ("card", "card")):
        if not callable(getattr(system.part(part), function, None)):
            yield f"{system.name}: {part}.py has no function {function}"
    for verb in system.verbs:
        if not callable(getattr(system.part("verbs"), FUNCTIONS.get(verb, verb), None)):
            yield f"{system.name}: verbs.py has no function for `qkv {verb}`"


def who_names(systems: Sequence[System], source: Path = SOURCE) -> list[str]:
    """Places that import a system, or name one in a string, and are neither in its folder nor in the registry."""
    found = []
    for file in sorted(source.rglob("*.py")):
        place = file.relative_to(source)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for system in systems:
            name = system.name.replace("-", "_")
            homes = [Path("systems", home) for home in (name, *KNOWN_TO.get(name, ()))]
            if place == Path("systems", "registry.py") or any(place.is_relative_to(home) for home in homes):
                continue
            package = f"qkv.systems.{name}"
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    said = node.module or ""
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                    said = node.value
                else:
                    continue
                word = place.parts[0] not in OTHER_VOCABULARY and said in (system.name, system.alias)
                if word or said == package or said.startswith(f"{package}."):
                    found.append(f"{place}:{node.lineno} names {system.name}")
    return found
