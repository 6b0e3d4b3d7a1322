"""Configuration: nested dataclasses, each default written once, filled from YAML and `--set`, refused by name."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qkv.errors import QkvError, shown
from qkv.files import regular

T = typing.TypeVar("T")

WIDEST, DEEPEST = 2**17, 256
"""Bounds on the sizes of any model, which are read before its weights are: twice the depth and several times the width
of the largest language models."""
LARGEST_IMAGE, MOST_HALVINGS = 2**12, 12
"""Bounds on the pixels of a side that a model reads, and so on how often it can halve a picture."""

_MOST_BYTES = 2**20  # of a YAML file
_MOST_VALUES, _DEEPEST = 100_000, 32  # of one, every alias written out: a few lines of aliases can stand for billions
_LARGEST = 2**63  # what other libraries take for a whole number lies below


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the most similar known name, or the list of all of them when none is similar."""
    known = sorted(known)
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {similar[0]!r}?" if similar else f"choose from {', '.join(known)}"


def check_range(config: object, least: float, most: float, *names: str) -> None:
    """Refuse fields of a dataclass that are not numbers from `least` to `most`, with a ValueError; None is no number.

    Sizes need an upper bound too: they are read before the weights that they are of, and memory is taken for them.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be at least {least:,}, not {shown(value)}")
        if value is not None and value > most:
            raise ValueError(f"{name} must be at most {most:,}, not {shown(value)}")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping; refuses one that is missing, is not YAML, or is too large or too nested."""
    try:
        with regular(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise QkvError(f"{path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise QkvError(f"{path} is larger than {_MOST_BYTES >> 20} MiB: it is no recipe")
    try:
        data = _parse_yaml(content.decode("utf-8"))
    except ValueError as error:
        raise QkvError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise QkvError(f"{path} holds no mapping of fields to values")
    return data


def _parse_yaml(text: str) -> Any:
    """The value that a YAML document stands for; ValueError if there is none, or too much for any recipe."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem or error.context}") from error
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, OverflowError) as error:  # `!!int ""` and its like
        raise ValueError(str(error) or type(error).__name__) from error


def _measure(node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values there are in a node of YAML, every alias written out, and how deep it is.

    `known` holds what is measured already, None for the nodes around this one.
    """
    if id(node) not in known:
        known[id(node)] = None
        inner = [child for pair in node.value for child in pair] if node.id == "mapping" else node.value
        sizes = [_measure(child, known) for child in inner] if node.id != "scalar" else []
        values, depth = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
        line = f"line {node.start_mark.line + 1}"
        if values > _MOST_VALUES:
            raise ValueError(f"{line}: with every alias written out it holds more than {_MOST_VALUES:,} values")
        if depth > _DEEPEST:
            raise ValueError(f"{line}: it is nested deeper than {_DEEPEST} levels")
        if node.id == "mapping":
            _refuse_repeats(node)
        known[id(node)] = values, depth
    if (measured := known[id(node)]) is None:
        raise ValueError(f"line {node.start_mark.line + 1}: an alias stands for what it is part of")
    return measured


def _refuse_repeats(mapping: Any) -> None:
    """Refuse a mapping of YAML that has a key twice, of which the last would silently win."""
    seen = set()
    for key, _ in mapping.value:
        if key.id == "scalar" and key.value in seen:
            raise ValueError(f"line {key.start_mark.line + 1}: {shown(key.value)} is there twice; remove one")
        seen.add(key.value if key.id == "scalar" else id(key))


def assign(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of nested `data` with `section.field=value` assignments made; values are YAML. Refuses any other form."""
    result = {key: assign(value, ()) if isinstance(value, Mapping) else value for key, value in data.items()}
    for assignment in assignments:
        path, separator, value = assignment.partition("=")
        *sections, field = path.strip().split(".")
        if not separator or not field or len(sections) >= _DEEPEST:
            raise QkvError(f"--set {shown(assignment)[1:-1]}: write it as section.field=value")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise QkvError(f"--set {assignment}: {section} is not a section")
        try:
            target[field] = _parse_yaml(value)
        except ValueError as error:
            said = " ".join(str(error).removeprefix("line 1: ").split())
            raise QkvError(f"--set {shown(assignment)[1:-1]}: the value is not valid YAML: {said}") from error
    return result


def flat(data: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """The fields of nested `data`, by names such as `section.field`."""
    fields: dict[str, Any] = {}
    for name, value in data.items():
        fields |= flat(value, f"{section}{name}.") if isinstance(value, Mapping) else {f"{section}{name}": value}
    return fields


def parse(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a dataclass, and the dataclasses in it, from nested mappings; `where` is their origin, named in errors.

    Raises:
        QkvError: a field is unknown (the nearest valid one is named), missing, of the wrong type or contradictory.
    """
    _refuse_odd_numbers(data, where)
    result = _validated(cls, _resolved(cls, data, where, ()), where, ())
    _refuse_odd_numbers(result, where)  # that text such as "nan" stood for
    return result


def _refuse_odd_numbers(data: Any, where: str) -> None:
    """Refuse numbers that are infinite or none, and whole ones that no field can hold."""
    inside: list[tuple[tuple[object, ...], Any]] = [((), data)]
    while inside:
        path, value = inside.pop()
        if (isinstance(value, float) and math.isfinite(value)) or (isinstance(value, int) and abs(value) < _LARGEST):
            continue
        if isinstance(value, int | float):
            name = shown(".".join(map(str, path)))[1:-1]
            raise QkvError(f"{where}: {name}: must be a finite number of usual size, not {shown(value)}")
        if dataclasses.is_dataclass(value):
            value = vars(value)
        if isinstance(value, Mapping):
            inside += [((*path, name), item) for name, item in value.items()]
        elif isinstance(value, list | tuple):
            inside += [((*path, index), item) for index, item in enumerate(value) if not isinstance(item, str)]


def _validated(annotation: Any, data: Any, where: str, path: tuple[str, ...]) -> Any:
    """An instance of an annotation, made of data whose names are known to be right."""
    from pydantic import TypeAdapter, ValidationError  # takes longer to import than all of `qkv --help`

    try:
        return TypeAdapter(annotation).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join((*path, *map(str, first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {shown(first['input'])}"
        raise QkvError(f"{where}: {place + ': ' if place else ''}{message}{given}") from error


def _resolved(annotation: Any, data: Any, where: str, path: tuple[str, ...]) -> Any:
    """The data, with sections that may be of several kinds as the dataclass that theirs means.

    Walks the annotation beside the data and refuses the first name that no dataclass field has.
    """
    if isinstance(annotation, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        if len(members) == 1 or not isinstance(data, Mapping) or not all(map(dataclasses.is_dataclass, members)):
            return _resolved(members[0], data, where, path)
        meant = _meant(members, data, f"{where}: {'.'.join((*path, 'kind'))}")
        return _validated(meant, _resolved(meant, data, where, path), where, path)
    if isinstance(data, bool) and annotation in (int, float):
        raise QkvError(f"{where}: {'.'.join(path)}: must be a number, not {str(data).lower()}")
    if typing.get_origin(annotation) in (list, tuple) and isinstance(data, list | tuple):
        inner = typing.get_args(annotation)[0]  # no field has items of several types
        if inner is str:
            return data
        return [_resolved(inner, item, where, (*path, str(index))) for index, item in enumerate(data)]
    if typing.get_origin(annotation) is dict and isinstance(data, Mapping):
        inner = typing.get_args(annotation)[1]
        return {name: _resolved(inner, value, where, (*path, str(name))) for name, value in data.items()}
    if not dataclasses.is_dataclass(annotation) or not isinstance(data, Mapping):
        return data
    known = typing.get_type_hints(annotation)
    for name in data:
        if name not in known:
            unknown = shown(".".join((*path, str(name))))
            raise QkvError(f"{where}: unknown field {unknown}; {nearest(str(name)[:80], known)}")
    return {name: _resolved(known[name], value, where, (*path, name)) for name, value in data.items()}


def _meant(members: list[Any], data: Mapping[str, Any], where: str) -> Any:
    """The dataclass whose `kind` takes the value in the data; without one the first, whose kind is the default."""
    kinds = {kind: member for member in members for kind in typing.get_args(typing.get_type_hints(member)["kind"])}
    kind = data.get("kind", next(iter(kinds)))
    if not isinstance(kind, str) or kind not in kinds:
        raise QkvError(f"{where} is {shown(kind)}; {nearest(str(kind)[:80], kinds)}")
    return kinds[kind]
