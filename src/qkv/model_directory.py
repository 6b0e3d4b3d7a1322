"""The model directory: `config.json`, `model.safetensors`, the tokenizer and a model card. No pickle, anywhere.

It holds everything that is needed to use a model with raw text or a raw image; `qkv.load` reads it.
"""

import dataclasses
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from qkv.config import parse
from qkv.errors import QkvError, one_line
from qkv.files import atomic_folder, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
RECIPE = "recipe.yaml"  # in a run's folder, which has its model below it
# What may be fetched from a model hub: data that is parsed, never code and never pickles.
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.md"]
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Saved(Protocol):
    """A frozen dataclass of what a system's config.json holds: JSON values, and dataclasses of such."""

    system: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


S = TypeVar("S", bound=Saved)


def save_model(folder: Path, saved: Saved, weights: "Mapping[str, Tensor]", files: Mapping[str, bytes]) -> None:
    """Write a model directory, whole or not at all; one that is already there is replaced.

    Weights are parameters by name, none of them twice, and keep their dtype. `files` are further ones, by name: the
    tokenizer, the model card.
    """
    write_model(folder, {"format": FORMAT, "system": saved.system, **dataclasses.asdict(saved)}, weights, files)


def write_model(
    folder: Path, config: Mapping[str, Any], weights: "Mapping[str, Tensor]", files: Mapping[str, bytes]
) -> None:
    """Write a model directory whose config.json is known already, as `read_config` gives it; see `save_model`."""
    stored = {name: tensor.detach().cpu() for name, tensor in weights.items()}
    with atomic_folder(Path(folder)) as temporary:
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (temporary / CONFIG).write_text(text + "\n", encoding="utf-8")
        write_tensors(temporary / WEIGHTS, stored)
        for name, content in files.items():
            (temporary / name).write_bytes(content)


def read_saved(folder: Path, kind: type[S]) -> S:
    """What config.json holds, as the system's dataclass, which checks it.

    Raises:
        QkvError: the file is missing or damaged, or a field is missing, unknown, of the wrong type or contradictory.
    """
    fields = {name: value for name, value in read_config(folder).items() if name not in ("format", "system")}
    try:
        return parse(kind, fields, str(Path(folder) / CONFIG))
    except QkvError as error:
        raise QkvError(f"{error}; restore the file, or copy or train the model again") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed `config.json`; refuses one that is missing, damaged, or of another format."""
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise QkvError(f"{folder} is not a model directory: it has no {CONFIG}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy or train the model again") from None
    if not isinstance(config, dict) or "format" not in config or not isinstance(config.get("system"), str):
        raise QkvError(f'{path} is not of a qkv model: it lacks the fields "format" and "system"')
    if config["format"] != FORMAT:
        raise QkvError(
            f"{path} has format {config['format']!r}; this qkv reads format {FORMAT}, install one that matches"
        )
    return config


def read_weights(folder: Path) -> "dict[str, Tensor]":
    """The parameters by name; floating-point ones as float32, whatever they are stored as. Refuses a damaged file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS
    try:
        stored = load_file(path)
    except FileNotFoundError:
        raise QkvError(f"{folder} has no {WEIGHTS}") from None
    except (OSError, SafetensorError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy or train the model again") from None
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}


def bundled_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    pretrained = Path(__file__).parent / "pretrained"
    return {path.parent.name: path.parent for path in sorted(pretrained.glob(f"*/{CONFIG}"))}


def find_model(name_or_folder: str | Path) -> Path:
    """The model directory that a bundled name, a model folder, a run folder or a hub name ("owner/name") means.

    Raises:
        QkvError: there is none; the message names the bundled models and the nearest of them.
    """
    if (folder := local_model(name_or_folder)) is not None:
        return folder
    name = str(name_or_folder)
    if _is_dir(Path(name)):
        raise QkvError(f"{name} holds no model: no {CONFIG} and no model/{CONFIG}; has training saved one yet?")
    if is_hub_name(name) and not isinstance(name_or_folder, Path):
        return _from_hub(name)
    bundled = bundled_models()
    nearest = difflib.get_close_matches(name, bundled, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    known = ", ".join(bundled) or "none"
    others = f"{hint}bundled models: {known}; or give a model folder or a run folder"
    raise QkvError(f"there is no model {name[:80]!r}; {others}")


def local_model(name_or_folder: str | Path) -> Path | None:
    """What `find_model` finds on this machine, or None; never asks the network and never fails."""
    path = Path(name_or_folder)
    found = (folder for folder in (path, path / "model") if _is_dir(folder) and (folder / CONFIG).is_file())
    return next(found, None) or bundled_models().get(str(name_or_folder))


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long for a file, or with a NUL in it
        return False


def is_hub_name(name: str) -> bool:
    """Whether a name may be one on the hub ("owner/name")."""
    # A typing error in `runs/one` must not go out to the network when `runs` is a folder here.
    return bool(_HUB_NAME.fullmatch(name)) and not _is_dir(Path(name).parent)


def fetch(name: str, files: Sequence[str]) -> Path:
    """Files of a repository "owner/name" on the Hugging Face Hub, by name or pattern, in a folder here; no others.

    Raises:
        QkvError: there is no such repository, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (RepositoryNotFoundError, HFValidationError):
        raise QkvError(f"there is no model {name!r}: not a folder here, and not on the Hugging Face Hub") from None
    except Exception as error:  # connection, proxy, quota, disk: many types, one meaning for the user
        raise QkvError(
            f"there is no folder {name!r}, and the Hugging Face Hub cannot be reached for it ({one_line(error)})"
        ) from None


def _from_hub(name: str) -> Path:
    folder = fetch(name, HUB_FILES)
    if not (folder / CONFIG).is_file():
        raise QkvError(f"{name} on the Hugging Face Hub is not a qkv model: it has no {CONFIG}")
    return folder
