"""`vit_*` and `deit_*` of timm, as they are on the hub."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from qkv.errors import QkvError
from qkv.interop.checkpoint import Checkpoint, build
from qkv.interop.names import refuse, rename
from qkv.interop.parity import Logits, Reference
from qkv.interop.source import Source, select, square
from qkv.model_directory import read_weights
from qkv.models.vit import ViT

# No weight shows how many heads there are: these are the sizes of Dosovitskiy et al. (2020, table 1), Touvron et al.
# (2020, table 1) and Zhai et al. (2021, table 2), as timm names them.
_HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16, "giant": 16, "gigantic": 16}
_MODULES = {"cls_token": "class_token", "pos_embed": "positions", "patch_embed.proj": "patches"}
_MODULES |= {"norm": "encoder.norm", "head": "head"}
_LAYER = re.compile(r"blocks\.(\d+)\.")
_PARTS = {
    "norm1": "self_norm",
    "norm2": "feed_forward_norm",
    "attn.query": "self_attention.query",
    "attn.key": "self_attention.key",
    "attn.value": "self_attention.value",
    "attn.proj": "self_attention.output",
    "mlp.fc1": "feed_forward.inner",
    "mlp.fc2": "feed_forward.outer",
}
# What a name among the weights gives away, in words.
_FEATURES = {
    r"(head_dist|dist_token)\b": "distillation token",
    r"reg_token": "register tokens",
    r"norm_pre\.": "norm before the first block (pre-norm)",
    r"blocks\.\d+\.(ls\d|gamma_\d)": "layer scale",
    r"fc_norm\.": "average pooling (fc_norm)",
    r"attn_pool\.": "attention pooling (attn_pool)",
    r".*rel_pos": "relative positions",
    r".*rope": "rotary positions",
    r".*mlp\.(w1|w2|w3|w12|fc1_g|fc1_x)\b": "SwiGLU",
    r".*attn\.[qk]_norm\.": "norm of queries and keys",
    r"patch_embed\.backbone\.": "convolutional backbone",
    r"pre_logits\.": "layer before the head (pre_logits)",
}
# Arguments of a model that its weights show anyway, or that matter in training only.
_SHOWN = {"img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads", "mlp_ratio"}
_SHOWN |= {"qkv_bias", "no_embed_class", "dynamic_img_size", "drop_rate", "pos_drop_rate", "patch_drop_rate"}
_SHOWN |= {"proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init", "global_pool"}


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What we read of config.json."""

    architecture: str
    model_args: dict[str, Any] = field(default_factory=dict)
    global_pool: str = "token"
    label_names: list[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """What we read of its section pretrained_cfg."""

    input_size: tuple[int, int, int]
    crop_pct: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_mode: str = "center"
    label_names: list[Any] | None = None


def read_timm(source: Source) -> Checkpoint:
    """Read a checkpoint whose config.json names an `architecture`; QkvError if it has what our ViT has not."""
    where = f"{source.name}/config.json"
    config = select(_Model, source.config, where)
    # Before "pretrained_cfg" came, its fields stood in config.json itself.
    section = source.config.get("pretrained_cfg")
    recipe = select(_Recipe, section if isinstance(section, dict) else source.config, where)
    theirs = read_weights(source.folder)
    if not config.architecture.startswith(("vit_", "deit_")):
        raise QkvError(f"{source.name} is a {config.architecture} of timm: only vit_* and deit_* can be imported")
    refuse(source.name, _foreign_features(config, theirs))
    sizes = {**_sizes(theirs, source.name), "n_heads": _heads(config, source.name)}
    model, preprocessing = build(source.name, sizes, _preprocessing(recipe, where), _rename_all(theirs))
    labels = _labels(config.label_names or recipe.label_names, model.head.out_features, where)
    reference = Reference("timm", "timm", lambda module: _load(module, config, model, theirs))
    return Checkpoint(f"timm {config.architecture}", model, labels, preprocessing, reference)


def _heads(config: _Model, name: str) -> int:
    heads = config.model_args.get("num_heads", _HEADS.get(config.architecture.split("_")[1]))
    if heads is None:
        what = f"{name}: how many heads a {config.architecture} has is not known"
        raise QkvError(f"{what}; add num_heads to model_args in its config.json")
    return heads


def _foreign_features(config: _Model, weights: Mapping[str, Tensor]) -> list[str]:
    """What our ViT has no place for, in words."""
    found = ["rotary positions"] if "rope" in config.architecture else []
    for name in _split(weights):
        if rename(name, _MODULES, _LAYER, _PARTS) is None:
            found.append(next((words for pattern, words in _FEATURES.items() if re.match(pattern, name)), name))
    if "cls_token" not in weights:
        found.append("pooling without a class token")
    pool = config.model_args.get("global_pool", config.global_pool)
    if not found and pool != "token":
        found.append(f"pooling {pool!r}")
    # An argument that leaves its mark on the weights is named above, in better words.
    return found or [f"{name} {value!r}" for name, value in config.model_args.items() if value and name not in _SHOWN]


def _split(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values, which timm keeps in one matrix, apart."""
    split = {}
    for name, weight in weights.items():
        parts = zip(("query", "key", "value"), weight.chunk(3)) if ".attn.qkv." in name else [("qkv", weight)]
        split |= {name.replace("qkv", part): x for part, x in parts}
    return split


def _rename_all(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {rename(name, _MODULES, _LAYER, _PARTS): weight for name, weight in _split(theirs).items()}
    weights = {name: weight for name, weight in named.items() if name is not None}
    weights["class_token"] = weights["class_token"][0]  # [1, 1, D] -> [1, D]
    positions = weights["positions"][0]
    if math.isqrt(len(positions)) ** 2 == len(positions):  # no_embed_class: none is added to the class token
        positions = torch.cat([torch.zeros_like(positions[:1]), positions])
    weights["positions"] = positions
    return weights


def _sizes(weights: Mapping[str, Tensor], name: str) -> dict[str, Any]:
    """Fields of our configuration that the shapes of the weights tell."""
    for needed in ("patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight"):
        if needed not in weights:
            raise QkvError(f"{name}: {needed} is missing from its weights; copy the checkpoint again")
    patches = weights["patch_embed.proj.weight"]  # [D, C, side, side]
    patch_size = square(list(patches.shape[2:]), f"{name}: a patch")
    rows = weights["pos_embed"].shape[1]
    grid = math.isqrt(rows)
    if rows not in (grid**2, grid**2 + 1):
        raise QkvError(f"{name}: its {rows} positions are no square grid: a ViT of qkv is trained for squares only")
    return {
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "channels": patches.shape[1],
        "d_model": len(patches),
        "n_layers": len({found[1] for weight in weights if (found := _LAYER.match(weight))}),
        "d_ff": len(weights["blocks.0.mlp.fc1.weight"]),
        "dropout": 0.0,
        "norm_eps": 1e-6,
        "antialias": True,
    }


def _preprocessing(recipe: _Recipe, where: str) -> dict[str, Any]:
    size, crop = square(recipe.input_size[1:], f"{where}: input_size"), recipe.crop_pct
    if recipe.crop_mode != "center" and (recipe.crop_mode != "squash" or crop != 1):
        raise QkvError(f"{where}: crop_mode {recipe.crop_mode!r} with crop_pct {crop} is not possible in qkv")
    if not 0 < crop <= 1:
        raise QkvError(f"{where}: crop_pct must be above 0 and at most 1, not {crop}")
    return {
        "size": size,
        "mean": recipe.mean,
        "std": recipe.std,
        "resize": "crop" if recipe.crop_mode == "center" else "squash",
        # timm rounds the side that it scales to down, and we to the nearest: this share gives the same side.
        "crop": size / math.floor(size / crop),
        "interpolation": recipe.interpolation,
    }


def _labels(names: list[Any] | None, n_classes: int, where: str) -> list[str]:
    labels = names or list(range(n_classes))
    if len(labels) != n_classes:
        raise QkvError(f"{where}: label_names must name {n_classes} classes, in the order of the head")
    return [str(label) for label in labels]


def _load(module: ModuleType, config: _Model, ours: ViT, weights: Mapping[str, Tensor]) -> Logits:
    shown = {"img_size": ours.config.image_size, "in_chans": ours.config.channels, "dynamic_img_size": True}
    arguments = {**config.model_args, **shown, "num_classes": ours.head.out_features}
    model = module.create_model(config.architecture, **arguments)
    model.load_state_dict(dict(weights))
    return model.float().eval()
