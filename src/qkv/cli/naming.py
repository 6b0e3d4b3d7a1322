"""Which word names a model, and which system that is of, for the verbs that are for some systems and not for others."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path

from qkv.errors import QkvError

_NAMES = {
    "translator": "translator",
    "vit": "classifier",
    "dalle": "painter",
    "clip": "scorer",
    "dvae": "discrete VAE",
}
_USES = {
    "translator": "use `qkv translate`",
    "vit": "use `qkv classify`",
    "dalle": "use `qkv draw`",
    "clip": "use `qkv draw --scorer`",
    "dvae": "use `qkv train --system dalle --codes`",
}


def names_model(word: str) -> bool:
    """Whether the first of several words is a model, or is meant to be one, and no text.

    It is if it is a bundled model's name, or nearly, since a mistyped name must be an error and not be taken for a
    text; a folder of a model or run; or if it has a "/" but no space in it, as folders and names on the hub do.
    """
    from qkv.model_directory import bundled_models, local_model
    from qkv.systems.recipe import RECIPE

    # A run that has no model yet: what comes next says so.
    begun = all(ord(c) for c in word) and len(word) < 256 and (Path(word) / RECIPE).is_file()
    nearly = difflib.get_close_matches(word, bundled_models(), n=1, cutoff=0.8)
    return bool(local_model(word) or begun or nearly or ("/" in word and not any(c.isspace() for c in word)))


def system_of(model: str) -> str:
    """The system of a model, such as "translator".

    Raises:
        QkvError: there is no such model.
    """
    from qkv.model_directory import find_model, read_config

    return read_config(find_model(model))["system"]


def check_system(model: str, systems: str | Collection[str], verb: str, instead: str = "") -> None:
    """Refuse a model that the verb is not for.

    Args:
        model: as the user named it.
        systems: what the verb is for, one or several.
        verb: what the model is to do.
        instead: what to do about it; if not given, what the model is for.

    Raises:
        QkvError: the model is of another system, or there is none.
    """
    found = system_of(model)
    if found not in ([systems] if isinstance(systems, str) else systems):
        advice = instead or _USES.get(found, "see `qkv models`")
        raise QkvError(f"{model} is a {_NAMES.get(found, found)}, which cannot {verb}: {advice}")


def refuse_options(model: str, system: str, whose: str, options: Mapping[str, object]) -> None:
    """Refuse what was asked for beside a model that has no use for it.

    Args:
        model: as the user named it.
        system: what it is.
        whose: for which systems the options are, in the plural.
        options: by name; None is not given.

    Raises:
        QkvError: one of them was given.
    """
    for name, value in options.items():
        if value is not None:
            raise QkvError(f"{name} is for {whose}, and {model} is a {_NAMES.get(system, system)}: leave it out")
