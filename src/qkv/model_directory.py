"""The model directory: `config.json`, `model.safetensors`, the tokenizer and a model card. No pickle, anywhere.

It holds everything that is needed to use a model with raw text or a raw image; `qkv.load` reads it.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from qkv.errors import QkvError, one_line
from qkv.files import atomic_folder

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_OF_DATA = ("temperature", "max_source_tokens")  # found on the training or validation data, not chosen
# What may be fetched from a model hub: data that is parsed, never code and never pickles.
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.md"]
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def save_model(
    folder: Path, *, system: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], files: Mapping[str, bytes]
) -> None:
    """Write a model directory, whole or not at all; one that is already there is replaced.

    Args:
        folder: where to write.
        system: which pipeline reads it, such as "translator".
        config: the system's own fields, JSON values only.
        weights: parameters by name, none of them twice; stored in the dtype they have.
        files: further files by name: the tokenizer, the model card.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_folder(Path(folder)) as temporary:
        text = json.dumps({"format": FORMAT, "system": system, **config}, indent=2, ensure_ascii=False)
        (temporary / CONFIG).write_text(text + "\n", encoding="utf-8")
        save_file(stored, temporary / WEIGHTS)
        # safetensors writes for the owner's eyes only, whatever the umask says.
        (temporary / WEIGHTS).chmod((temporary / CONFIG).stat().st_mode)
        for name, content in files.items():
            (temporary / name).write_bytes(content)


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed `config.json`.

    Raises:
        QkvError: it is missing, damaged, or of another format.
    """
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


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The parameters by name; floating-point ones as float32, whatever they are stored as.

    Raises:
        QkvError: the file is missing or damaged.
    """
    path = Path(folder) / WEIGHTS
    try:
        stored = load_file(path)
    except FileNotFoundError:
        raise QkvError(f"{folder} has no {WEIGHTS}") from None
    except (OSError, SafetensorError) as error:
        raise QkvError(f"{path} cannot be read ({one_line(error)}); copy or train the model again") from None
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}


def average_models(folders: Sequence[Path], out: Path, shares: Sequence[float] | None = None) -> None:
    """Write the model whose weights are the mean of the models' (model soups, Wortsman et al. 2022).

    It makes sense for models that were trained on from the same one. Everything but the weights is the first model's.

    Args:
        folders: model directories of one system, with the same sizes, tokenizer and labels; two or more.
        out: the directory to write; must not be there yet.
        shares: how much of each; equal if not given. They are divided by their sum.

    Raises:
        QkvError: the models do not fit together, or a share is not positive.
    """
    shares = [1.0] * len(folders) if shares is None else shares
    if len(folders) < 2 or len(shares) != len(folders) or min(shares) <= 0:
        raise QkvError(f"give two or more models, and a positive share of each: not {len(folders)} and {list(shares)}")
    if out.exists():
        raise QkvError(f"{out} is there already: choose another folder")
    first, config = folders[0], read_config(folders[0])
    weights = read_weights(first)
    for other in folders[1:]:
        _check_alike(first, other)
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for folder, share in zip(folders, shares, strict=True):
        for name, weight in read_weights(folder).items():
            total[name] += weight * (share / sum(shares))
    stored = load_file(first / WEIGHTS)
    mean = {name: weight.to(stored[name].dtype) for name, weight in total.items()}
    parts = "\n".join(f"- {folder}: {share / sum(shares):.0%}" for folder, share in zip(folders, shares, strict=True))
    files = {path.name: path.read_bytes() for path in first.iterdir() if path.name not in (CONFIG, WEIGHTS)}
    card = f"# Mean of the weights of {len(folders)} models\n\n{parts}\n\nThe card of the first of them:\n\n"
    files[CARD] = card.encode() + files.get(CARD, b"none\n")
    config = {name: value for name, value in config.items() if name not in ("format", "system")}
    save_model(out, system=read_config(first)["system"], config=config, weights=mean, files=files)


def _check_alike(first: Path, other: Path) -> None:
    """Refuse models that differ in more than weights, rates of dropout, calibration and what is written about them."""
    ours, theirs = (_flat(read_config(folder)) for folder in (first, other))
    for name in sorted(ours.keys() & theirs.keys()):  # a field that one lacks is newer than it is
        if ours[name] != theirs[name] and "drop" not in name and name not in _OF_DATA:
            values = f"{name} is {theirs[name]!r} in one, {ours[name]!r} in the other"
            raise QkvError(f"{other} and {first} cannot be averaged: {values}")
    for path in sorted(first.glob("*.model")):
        if not (other / path.name).is_file() or (other / path.name).read_bytes() != path.read_bytes():
            raise QkvError(f"{other} and {first} cannot be averaged: {path.name} differs")
    sizes = [{name: weight.shape for name, weight in read_weights(folder).items()} for folder in (first, other)]
    if sizes[0] != sizes[1]:
        raise QkvError(f"{other} and {first} cannot be averaged: their weights have different names or sizes")


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration, those of its sections as `section.field`."""
    sections = {name: value for name, value in config.items() if isinstance(value, dict)}
    flat = {name: value for name, value in config.items() if name not in sections}
    return flat | {f"{section}.{name}": value for section in sections for name, value in sections[section].items()}


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
        raise QkvError(
            f"{name} holds no model: neither {CONFIG} nor model/{CONFIG} is in it; has training saved one yet?"
        )
    if is_hub_name(name) and not isinstance(name_or_folder, Path):
        return _from_hub(name)
    bundled = bundled_models()
    nearest = difflib.get_close_matches(name, bundled, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    known = ", ".join(bundled) or "none"
    raise QkvError(
        f"there is no model {name[:80]!r}; {hint}bundled models: {known}; or give a model folder or a run folder"
    )


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
    """Files of a repository on the Hugging Face Hub, in a folder here.

    Args:
        name: "owner/name".
        files: their names, or patterns of such; no other file is fetched.

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
