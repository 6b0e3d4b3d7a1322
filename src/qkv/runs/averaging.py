"""One model whose weights are the mean of several."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from qkv.config import flat
from qkv.errors import QkvError
from qkv.files import regular
from qkv.model_directory import CARD, CONFIG, WEIGHTS, read_config, read_weights, write_model

_OF_DATA = ("temperature", "max_source_tokens", "limits")  # found on the training or validation data, not chosen


def average_models(
    folders: Sequence[Path], out: Path, shares: Sequence[float] | None = None, replace: bool = False
) -> None:
    """Write the model whose weights are the mean of the models' (model soups, Wortsman et al. 2022).

    It makes sense for models that were trained on from the same one, with the same sizes, tokenizer and labels; others
    are refused. Everything but the weights is the first model's. Shares are equal if not given, and are divided by
    their sum. An `out` that is there is refused, unless it is to be replaced.
    """
    shares = [1.0] * len(folders) if shares is None else shares
    if len(folders) < 2 or len(shares) != len(folders) or min(shares) <= 0:
        raise QkvError(f"give two or more models, and a positive share of each: not {len(folders)} and {list(shares)}")
    if out.exists() and not replace:
        raise QkvError(f"{out} is there already: choose another folder")
    first = folders[0]
    weights = read_weights(first)
    for other in folders[1:]:
        _check_alike(first, other)
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for folder, share in zip(folders, shares, strict=True):
        for name, weight in read_weights(folder).items():
            total[name] += weight * (share / sum(shares))
    stored = load_file(regular(first / WEIGHTS))
    mean = {name: weight.to(stored[name].dtype) for name, weight in total.items()}
    parts = "\n".join(f"- {folder}: {share / sum(shares):.0%}" for folder, share in zip(folders, shares, strict=True))
    others = (path for path in first.iterdir() if path.is_file() and path.name not in (CONFIG, WEIGHTS))
    files = {path.name: path.read_bytes() for path in others}
    card = f"# Mean of the weights of {len(folders)} models\n\n{parts}\n\nThe card of the first of them:\n\n"
    files[CARD] = card.encode() + files.get(CARD, b"none\n")
    write_model(out, read_config(first), mean, files)


def _check_alike(first: Path, other: Path) -> None:
    """Refuse models that differ in more than weights, rates of dropout, calibration and what is written about them."""
    ours, theirs = (flat(read_config(folder)) for folder in (first, other))
    for name in sorted(ours.keys() & theirs.keys()):  # a field that one lacks is newer than it is
        if ours[name] != theirs[name] and "drop" not in name and name.split(".")[0] not in _OF_DATA:
            values = f"{name} is {theirs[name]!r} in one, {ours[name]!r} in the other"
            raise QkvError(f"{other} and {first} cannot be averaged: {values}")
    for path in sorted(first.glob("*.model")):
        if not (other / path.name).is_file() or (other / path.name).read_bytes() != path.read_bytes():
            raise QkvError(f"{other} and {first} cannot be averaged: {path.name} differs")
    sizes = [{name: weight.shape for name, weight in read_weights(folder).items()} for folder in (first, other)]
    if sizes[0] != sizes[1]:
        raise QkvError(f"{other} and {first} cannot be averaged: their weights have different names or sizes")
