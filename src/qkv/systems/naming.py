"""Which word of the command line names a model, and whether it can do what it is asked to."""

import difflib
from pathlib import Path

from qkv.errors import QkvError
from qkv.model_directory import bundled_models, local_model, read_config
from qkv.systems.recipe import RECIPE
from qkv.systems.registry import find_system, system_of
from qkv.systems.system import System


def names_model(word: str) -> bool:
    """Whether the first of several words is a model, or is meant to be one, and no text.

    It is if it is a bundled model's name, or nearly, since a mistyped name must be an error and not be taken for a
    text; a folder of a model or run; or if it has a "/" but no space in it, as folders and names on the hub do.
    """
    # A run that has no model yet: what comes next says so.
    begun = all(ord(c) for c in word) and len(word) < 256 and (Path(word) / RECIPE).is_file()
    nearly = difflib.get_close_matches(word, bundled_models(), n=1, cutoff=0.8)
    return bool(local_model(word) or begun or nearly or ("/" in word and not any(c.isspace() for c in word)))


def check_system(model: str, able: System | tuple[System, ...], what: str, instead: str = "") -> None:
    """Refuse a model of another system than those that can do `what`; says `instead`, or else what the model is for."""
    found = system_of(model)
    if found not in (able if isinstance(able, tuple) else (able,)):
        raise QkvError(f"{model} is {found.called}, which cannot {what}: {instead or found.use}")


def first_bundled(system: System) -> str | None:
    """The first bundled model of a system, in the order of `qkv models`."""
    for name, folder in bundled_models().items():
        if find_system(read_config(folder)["system"], str(folder)) == system:
            return name
    return None
