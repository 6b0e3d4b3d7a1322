"""Which system a model is of, for the verbs that are there for several or for one of them."""

from qkv.errors import QkvError

_VERBS = {"translator": "translate", "vit": "classify"}


def system_of(model: str) -> str:
    """The system of a model: "translator" or "vit".

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
        raise QkvError(f"{model} is a {found}, which cannot {verb}: use `qkv {_VERBS.get(found, 'models')}`")
