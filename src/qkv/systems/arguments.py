"""What a person hands to a model from Python: one text or picture or many, and options; checked in one place.

Many may be a list, a generator, an array, or a column of pandas, Polars or Arrow. What is no text, picture or option is
refused with one line before anything is computed.
"""

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from qkv.config import nearest
from qkv.errors import QkvError

P = ParamSpec("P")
R = TypeVar("R")

_CALLED = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    types.NoneType: "None",
    Callable: "a function",
}
_MISSING = ("NAType", "NaTType")  # of pandas


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are checked against its annotations, those behind `**options` among them.

    Refuses unknown names (the nearest is named), and values that are no number, text or path where one is asked for;
    NumPy's numbers become Python's. Annotations of other kinds are not checked.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        signature_, kinds = _parameters(function)
        name = function.__name__
        for given in kwargs:
            if given not in kinds:
                raise QkvError(f"{name} takes no {given!r}; {nearest(given, kinds)}")
        try:
            bound = signature_.bind(*args, **kwargs)
        except TypeError as error:
            raise QkvError(f"{name}: {error}; it takes {', '.join(kinds)}") from None
        for given, value in bound.arguments.items():
            if signature_.parameters[given].kind is Parameter.VAR_KEYWORD:
                bound.arguments[given] = {key: _value(item, kinds[key], key) for key, item in value.items()}
            elif given in kinds:
                bound.arguments[given] = _value(value, kinds[given], given)
        return function(*bound.args, **bound.kwargs)

    return call


def texts(values: Any, what: str = "text") -> tuple[list[str], bool]:
    """The texts that are given, and whether it is a single one; refuses what is missing or no text, by its number."""
    values = _plain(values)
    if isinstance(values, str | bytes) or _is_missing(values):
        return [_text(values, what)], True
    found = list(_items(values, what))
    return [_text(value, f"{what} {number} of {len(found)}") for number, value in enumerate(found, 1)], False


def text(value: Any, what: str = "text") -> str:
    """The one text that is given; errors as of `texts`, and several are refused."""
    found, single = texts(value, what)
    if not single:
        raise QkvError(f"{what} must be a single {what} here, not {len(found):,}")
    return found[0]


def pictures(values: Any, what: str = "picture") -> tuple[list[Any], bool]:
    """The pictures that are given (`Picture`), and whether it is a single one; refuses what is missing or none."""
    import numpy as np
    from PIL import Image

    kinds, values = (str, Path, bytes, Image.Image, np.ndarray), _plain(values)
    several = isinstance(values, np.ndarray) and (values.dtype.kind in "OUS" or values.ndim > 3)
    if (isinstance(values, kinds) and not several) or _is_missing(values):
        return [_picture(values, kinds, what)], True
    found = list(_items(values, what))
    return [_picture(value, kinds, f"{what} {number} of {len(found)}") for number, value in enumerate(found, 1)], False


def _items(values: Any, what: str) -> Iterator[Any]:
    """What a list or the like holds, in its order; refuses what has no order, and what has several columns."""
    if isinstance(values, Mapping):
        raise QkvError(f"{what}s are given as a mapping: give its values, as a list")
    if isinstance(values, set | frozenset):
        raise QkvError(f"{what}s are given as a set, which has no order: give a list")
    if hasattr(values, "columns"):
        raise QkvError(f"{what}s are given as a table: give one of its columns")
    try:
        return iter(values.to_pylist() if hasattr(values, "to_pylist") else values)  # a column of Arrow's
    except TypeError:
        raise QkvError(f"{what} must be one {what}, or several of them as a list, not {_shown(values)}") from None


def _text(value: Any, where: str) -> str:
    value = _plain(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        raise QkvError(f"{where} is bytes: decode it first, as in text.decode('utf-8')")
    if _is_missing(value):
        raise QkvError(f"{where} is missing ({value}): leave it out, or fill it in")
    raise QkvError(f"{where} must be a text, not {_shown(value)}")


def _picture(value: Any, kinds: tuple[type, ...], where: str) -> Any:
    value = _plain(value)
    if isinstance(value, kinds):
        return value
    if _is_missing(value):
        raise QkvError(f"{where} is missing ({value}): leave it out")
    raise QkvError(f"{where} must be a path, bytes, a Pillow image or an array, not {_shown(value)}")


def _plain(value: Any) -> Any:
    """The value of a cell of Arrow's, and any other value as it is."""
    return value.as_py() if hasattr(value, "as_py") else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _MISSING


def _shown(value: Any) -> str:
    """A value in a message: itself where that is short, else what it is."""
    said = repr(value)
    return said if len(said) <= 40 and said.isprintable() else f"a value of type {type(value).__name__}"


@cache
def _parameters(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """The signature, and the annotations of all that may be given by name."""
    found, hints, kinds = signature(function), typing.get_type_hints(function), dict[str, Any]()
    for name, parameter in found.parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:  # **options: Unpack[a TypedDict]
            kinds |= typing.get_type_hints(typing.get_args(hints[name])[0])
        elif name in hints:
            kinds[name] = hints[name]
    return found, kinds


def _value(value: Any, annotation: Any, name: str) -> Any:
    """A value for a parameter, as the annotation has it."""
    union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    members = typing.get_args(annotation) if union else (annotation,)
    classes = [_class_of(member) for member in members]
    if None in classes:
        return value
    if isinstance(value, Integral) and not isinstance(value, bool) and int in classes:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, bool) and float in classes:
        return value if isinstance(value, int | float) else float(value)
    if isinstance(value, str) and str not in classes and Path in classes:
        return Path(value)
    if not any(_is_a(value, kind) for kind in classes):
        raise QkvError(f"{name} must be {' or '.join(map(_CALLED.__getitem__, classes))}, not {_shown(value)}")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    if kind is Callable:
        return callable(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))  # Python's True is an int


def _class_of(annotation: Any) -> Any:
    """The class that values of an annotation are of; None where that is not for this decorator to check."""
    kind = typing.get_origin(annotation) or annotation
    return kind if kind in _CALLED else None
