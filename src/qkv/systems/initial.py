"""Starting from a trained model: its sizes stay what they are."""

from dataclasses import asdict
from typing import Any

from qkv.config import flat
from qkv.errors import QkvError


def refuse_other_sizes(asked: Any, known: Any, vocabularies: tuple[int, int] | None = None) -> None:
    """Refuse sizes of a model, a dataclass, that are not the initial model's; dropout may differ.

    A field that is not known of the initial model is newer than it is. `vocabularies` are that asked for and that of
    the initial model, where there is one.
    """
    wanted_size, known_size = vocabularies or (0, 0)
    sizes = flat({"model": asdict(known), "tokenizer": {"vocabulary": known_size}})
    for name, value in flat({"model": asdict(asked), "tokenizer": {"vocabulary": wanted_size}}).items():
        wanted, before = (list(size) if isinstance(size, tuple) else size for size in (value, sizes.get(name, value)))
        if not name.endswith(("dropout", "drop_path")) and wanted != before:
            raise QkvError(f"{name} is {wanted!r}, but the initial model's is {before!r}: set it to that")
