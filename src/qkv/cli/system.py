"""Which system a model is of, for the verbs that are there for several or for one of them."""

from collections.abc import Mapping

from qkv.errors import QkvError

_NAMES = {"translator": "translator", "vit": "classifier", "dalle": "painter", "clip": "scorer"}
_VERBS = {"translator": "translate", "vit": "classify", "dalle": "draw"}


def system_of(model: str) -> str:
    """The system of a model, such as "translator".

    Raises:
        QkvError: there is no such model.
    """
    from qkv.model_directory import find_model, read_config

    return read_config(find_model(model))["system"]


def check_system(model: str, system: str, verb: str) -> None:
    """Refuse a model that the verb is not for.

    Raises:
        QkvError: the model is of another system, or there is none.
    """
    if (found := system_of(model)) != system:
        raise QkvError(
            f"{model} is a {_NAMES.get(found, found)}, which cannot {verb}: use `qkv {_VERBS.get(found, 'models')}`"
        )


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
