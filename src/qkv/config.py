"""Configuration: nested dataclasses, each default written once, filled from YAML and `--set`, refused by name."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qkv.errors import QkvError

T = typing.TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the most similar known name, or the list of all of them when none is similar."""
    known = sorted(known)
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {similar[0]!r}?" if similar else f"choose from {', '.join(known)}"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping.

    Raises:
        QkvError: the file is missing, is not YAML or holds something else.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QkvError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QkvError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise QkvError(f"{path} holds no mapping of fields to values")
    return data


def assign(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of nested `data` with `section.field=value` assignments made; values are YAML.

    Raises:
        QkvError: an assignment has no `=`, or goes below something that is not a section.
    """
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


def parse(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a dataclass, and the dataclasses in it, from nested mappings.

    Args:
        cls: a dataclass.
        data: field names to values.
        where: the origin of `data`, named in errors.

    Raises:
        QkvError: a field is unknown (the nearest valid one is named), missing, of the wrong type or contradictory.
    """
    from pydantic import TypeAdapter, ValidationError  # takes longer to import than all of `qkv --help`

    _refuse_unknown(cls, data, where, ())
    try:
        return TypeAdapter(cls).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
        raise QkvError(f"{where}: {path + ': ' if path else ''}{message}{given}") from error


def _refuse_unknown(annotation: Any, data: Any, where: str, path: tuple[str, ...]) -> None:
    """Walk the annotation beside the data and refuse the first name that no dataclass field has."""
    if isinstance(annotation, types.UnionType):
        annotation = _meant(annotation, data)
    if typing.get_origin(annotation) is list and isinstance(data, list):
        for index, item in enumerate(data):
            _refuse_unknown(typing.get_args(annotation)[0], item, where, (*path, str(index)))
    if not dataclasses.is_dataclass(annotation) or not isinstance(data, Mapping):
        return
    known = typing.get_type_hints(annotation)
    for name, value in data.items():
        if name not in known:
            raise QkvError(f"{where}: unknown field {'.'.join((*path, str(name)))!r}; {nearest(str(name), known)}")
        _refuse_unknown(known[name], value, where, (*path, name))


def _meant(union: types.UnionType, data: Any) -> Any:
    """The member of a union that data is for: the dataclass whose `kind` takes the value there, else the first one."""
    members = [member for member in typing.get_args(union) if member is not types.NoneType]
    if not members or not isinstance(data, Mapping) or "kind" not in data:
        return members[0] if members else union
    tagged = (m for m in members if dataclasses.is_dataclass(m) and "kind" in typing.get_type_hints(m))
    return next((m for m in tagged if data["kind"] in typing.get_args(typing.get_type_hints(m)["kind"])), members[0])
