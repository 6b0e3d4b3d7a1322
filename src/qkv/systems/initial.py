"""Starting from a trained model: its sizes stay what they are."""

from collections.abc import Mapping
from typing import Any

from qkv.errors import QkvError


def refuse_other_sizes(asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse sizes that are not the initial model's; rates of dropping out may differ.

    Args:
        asked: by name, such as `model.n_layers`.
        known: the initial model's; a field that it lacks is newer than it is.

    Raises:
        QkvError: a size differs; the message names it.
    """
    for name, value in asked.items():
        wanted, before = (list(size) if isinstance(size, tuple) else size for size in (value, known.get(name, value)))
        if not name.endswith(("dropout", "drop_path")) and wanted != before:
            raise QkvError(f"{name} is {wanted!r}, but the initial model's is {before!r}: set it to that")
