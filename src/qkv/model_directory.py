"""The model directory: `config.json`, `model.safetensors`, the tokenizer and a model card. No pickle, anywhere.

It holds everything that is needed to use a model with raw text or a raw image; `qkv.load` reads it.
"""

import dataclasses
import difflib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from qkv.config import parse
from qkv.errors import QkvError, one_line, shown
from qkv.files import atomic_folder, regular, write_tensors
from qkv.json_text import json_text

if TYPE_CHECKING:
    from torch import Tensor, dtype

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
RECIPE = "recipe.yaml"  # in a run's folder, which has its model below it
# What may be fetched from a model hub: data that is parsed, never code and never pickles.
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.md"]
_TOKENIZER, _CRC = ".model", "crc32"
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
    """Write a model directory whose config.json is known already, as `read_config` gives it; see `save_model`.

    The weights' file has checksums, of itself and of the tokenizers, with which it is read.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    checksums = {name: _checksum(content) for name, content in files.items() if name.endswith(_TOKENIZER)}
    checksums[WEIGHTS] = _checksum_of(stored)
    with atomic_folder(Path(folder)) as temporary:
        text = json_text(config, indent=2)
        (temporary / CONFIG).write_text(text + "\n", encoding="utf-8")
        # One entry: of several the order, and with it the file, would differ from time to time.
        write_tensors(temporary / WEIGHTS, stored, {_CRC: json_text(checksums)})
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
        config = json.loads(regular(path).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise QkvError(f"{folder} is not a model directory: it has no {CONFIG}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy or train the model again") from None
    if not isinstance(config, dict) or "format" not in config or not isinstance(config.get("system"), str):
        raise QkvError(f'{path} is not of a qkv model: it lacks the fields "format" and "system"')
    if config["format"] != FORMAT:
        raise QkvError(
            f"{path} has format {shown(config['format'])}; this qkv reads format {FORMAT}, install one that matches"
        )
    return config


def read_weights(folder: Path) -> "dict[str, Tensor]":
    """The parameters by name; floating-point ones as float32, whatever they are stored as.

    Raises:
        QkvError: the file is missing or damaged, it or a tokenizer is not what was saved, or a weight is no number.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / WEIGHTS
    try:
        with safe_open(regular(path), framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(_CRC, "{}"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except FileNotFoundError:
        raise QkvError(f"{folder} has no {WEIGHTS}") from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy or train the model again") from None
    _verify(Path(folder), said if isinstance(said, dict) else {}, stored)
    # Copied, since what is mapped from a file changes with it.
    weights = {name: tensor.to(_float(tensor), copy=True) for name, tensor in stored.items()}
    _refuse_no_numbers(weights, path)
    return weights


def _float(tensor: "Tensor") -> "dtype":
    import torch

    return torch.float32 if tensor.is_floating_point() else tensor.dtype


def _verify(folder: Path, checksums: Mapping[str, str], stored: "Mapping[str, Tensor]") -> None:
    """Refuse files that are not what was saved. Models of older versions have no checksums, and are not checked."""
    for name, checksum in checksums.items():
        path = folder / name
        if name == WEIGHTS:
            found = _checksum_of(stored)
        elif name.endswith(_TOKENIZER) and name == path.name and path.is_file():
            found = _checksum(path.read_bytes())
        else:
            continue  # whoever needs the file says that it is missing
        if found != checksum:
            raise QkvError(f"{path} is damaged: its checksum is not that of what was saved; copy or train it again")


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _checksum_of(tensors: "Mapping[str, Tensor]") -> str:
    """Of names, types, shapes and values."""
    import torch

    crc = 0
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().tobytes(), crc)
    return f"{crc:08x}"


def _refuse_no_numbers(weights: "Mapping[str, Tensor]", path: Path) -> None:
    """Refuse weights that are infinite or NaN: whatever a model computes from them is none either."""
    for name, tensor in weights.items():
        # A sum is taken in a tenth of the time; where it is infinite of itself, each number is looked at.
        if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
            said = "holds numbers that are infinite or none (NaN)"
            raise QkvError(f"{path}: {shown(name)[1:-1]} {said}; copy or train the model again")


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
