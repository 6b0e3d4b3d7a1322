"""Starting from a trained model: its sizes stay what they are."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from qkv.config import flat
from qkv.errors import QkvError


def refuse_other_sizes(asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse sizes, in sections as a recipe has them, that are not the initial model's; dropout may differ.

    <<<<<<< HEAD
    Args:
        asked: by name, such as `model.n_layers` (`sizes_of`).
        known: the initial model's; a field that it lacks is newer than it is.

    Raises:
        QkvError: a size differs; the message names it.
    =======
    A field that is not known of the initial model is newer than it is.
    >>>>>>> short-c
    """
    sizes = flat(known)
    for name, value in flat(asked).items():
        wanted, before = (list(size) if isinstance(size, tuple) else size for size in (value, sizes.get(name, value)))
        if not name.endswith(("dropout", "drop_path")) and wanted != before:
            raise QkvError(f"{name} is {wanted!r}, but the initial model's is {before!r}: set it to that")


def sizes_of(model: Any, vocabulary: int) -> dict[str, Any]:
    """The fields of a model's configuration and the size of its vocabulary, by their names in a recipe."""
    return {**_named("model", asdict(model)), "tokenizer.vocabulary": vocabulary}


def _named(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {inner: size for field, part in value.items() for inner, size in _named(f"{name}.{field}", part).items()}
