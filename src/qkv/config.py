"""Configuration: nested dataclasses, each default written once, filled from YAML and `--set`, refused by name."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qkv.errors import QkvError
from qkv.files import regular

T = typing.TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the most similar known name, or the list of all of them when none is similar."""
    known = sorted(known)
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {similar[0]!r}?" if similar else f"choose from {', '.join(known)}"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping; refuses a file that is missing, is not YAML or holds something else."""
    import yaml

    try:
        data = yaml.safe_load(regular(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise QkvError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QkvError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise QkvError(f"{path} holds no mapping of fields to values")
    return data


def assign(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of nested `data` with `section.field=value` assignments made; values are YAML. Refuses any other form."""
    import yaml

    result = {key: assign(value, ()) if isinstance(value, Mapping) else value for key, value in data.items()}
    for assignment in assignments:
        path, separator, value = assignment.partition("=")
        *sections, field = path.strip().split(".")
        if not separator or not field:
            raise QkvError(f"--set {assignment}: write it as section.field=value")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise QkvError(f"--set {assignment}: {section} is not a section")
        try:
            target[field] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise QkvError(f"--set {assignment}: the value is not valid YAML") from error
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
    return _validated(cls, _resolved(cls, data, where, ()), where, ())


def _validated(annotation: Any, data: Any, where: str, path: tuple[str, ...]) -> Any:
    """An instance of an annotation, made of data whose names are known to be right."""
    from pydantic import TypeAdapter, ValidationError  # takes longer to import than all of `qkv --help`

    try:
        return TypeAdapter(annotation).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join((*path, *map(str, first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
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
    if typing.get_origin(annotation) is list and isinstance(data, list):
        [inner] = typing.get_args(annotation)
        return [_resolved(inner, item, where, (*path, str(index))) for index, item in enumerate(data)]
    if not dataclasses.is_dataclass(annotation) or not isinstance(data, Mapping):
        return data
    known = typing.get_type_hints(annotation)
    for name in data:
        if name not in known:
            raise QkvError(f"{where}: unknown field {'.'.join((*path, str(name)))!r}; {nearest(str(name), known)}")
    return {name: _resolved(known[name], value, where, (*path, name)) for name, value in data.items()}


def _meant(members: list[Any], data: Mapping[str, Any], where: str) -> Any:
    """The dataclass whose `kind` takes the value in the data; without one the first, whose kind is the default."""
    kinds = {kind: member for member in members for kind in typing.get_args(typing.get_type_hints(member)["kind"])}
    kind = data.get("kind", next(iter(kinds)))
    if not isinstance(kind, str) or kind not in kinds:
        raise QkvError(f"{where} is {kind!r}; {nearest(str(kind), kinds)}")
    return kinds[kind]
