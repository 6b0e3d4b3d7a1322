"""Starting from a trained model: its sizes stay what they are."""

from collections.abc import Mapping
from typing import Any

from qkv.config import flat
from qkv.errors import QkvError


def refuse_other_sizes(asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse sizes, in sections as a recipe has them, that are not the initial model's; dropout may differ.

    A field that is not known of the initial model is newer than it is.
    """
    sizes = flat(known)
    for name, value in flat(asked).items():
        wanted, before = (list(size) if isinstance(size, tuple) else size for size in (value, sizes.get(name, value)))
        if not name.endswith(("dropout", "drop_path")) and wanted != before:
            raise QkvError(f"{name} is {wanted!r}, but the initial model's is {before!r}: set it to that")
