"""Tiny checkpoints of other libraries, random but far from even, in folders as they are on the hub."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification

from qkv.interop.source import Source
from qkv.systems.classifier.importing import ImportReport, import_classifier

WIDTH, DEPTH, HEADS, INNER, SIDE, PATCH = 48, 2, 3, 80, 32, 8
LABELS = ["cat", "dog", "crane", "crane", "축구"]
CARD = "---\ntags:\n- vision\nlicense: apache-2.0\n---\n# A model\n\nlicense: none of that\n"


def randomise(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    for name, weight in weights.items():
        weight.copy_(torch.randn(weight.shape, generator=generator) * 0.25 + ("norm" in name))
    return weights


def write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def edit_json(path: Path, **changes: object) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(edit(load_file(folder / "model.safetensors")), folder / "model.safetensors")


def hugging_face_folder(folder: Path, **options: Any) -> Path:
    """Saved by transformers itself."""
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        image_size=SIDE,
        patch_size=PATCH,
        id2label=dict(enumerate(LABELS)),
        **options,
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        randomise(dict(model.named_parameters()))
    model.save_pretrained(folder)
    scale = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    size = {"height": SIDE, "width": SIDE}
    write_json(folder / "preprocessor_config.json", {"do_normalize": True, "size": size, "resample": 3, **scale})
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def timm_weights(qkv_bias: bool = True, no_embed_class: bool = False, **_: object) -> dict[str, Tensor]:
    """The names and shapes of timm's `VisionTransformer`."""
    rows = (SIDE // PATCH) ** 2 + (not no_embed_class)
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, WIDTH), "pos_embed": (1, rows, WIDTH)}

    def add(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    add("patch_embed.proj", WIDTH, 3, PATCH, PATCH)
    for layer in range(DEPTH):
        add(f"blocks.{layer}.norm1", WIDTH)
        add(f"blocks.{layer}.attn.qkv", 3 * WIDTH, WIDTH, bias=qkv_bias)
        add(f"blocks.{layer}.attn.proj", WIDTH, WIDTH)
        add(f"blocks.{layer}.norm2", WIDTH)
        add(f"blocks.{layer}.mlp.fc1", INNER, WIDTH)
        add(f"blocks.{layer}.mlp.fc2", WIDTH, INNER)
    add("norm", WIDTH)
    add("head", len(LABELS), WIDTH)
    return randomise({name: torch.empty(shape) for name, shape in shapes.items()})


def timm_folder(folder: Path, **arguments: bool) -> Path:
    """A checkpoint as timm's `push_to_hf_hub` lays it out."""
    sizes = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    folder.mkdir()
    save_file(timm_weights(**arguments), folder / "model.safetensors")
    recipe = {
        "input_size": [3, SIDE, SIDE],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
        "num_classes": len(LABELS),
        "classifier": "head",
    }
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": len(LABELS),
        "num_features": WIDTH,
        "global_pool": "token",
        "label_names": LABELS,
        "model_args": {**sizes, "mlp_ratio": INNER / WIDTH, **arguments},
        "pretrained_cfg": recipe,
    }
    write_json(folder / "config.json", config)
    return folder


def timm_logits(weights: dict[str, Tensor], images: Tensor, heads: int = HEADS) -> Tensor:
    """What timm's `VisionTransformer` computes with `dynamic_img_size`, from its documented weights alone."""

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    kernel = weights["patch_embed.proj.weight"]
    grid = F.conv2d(images, kernel, weights["patch_embed.proj.bias"], stride=kernel.shape[-1])
    x = grid.flatten(2).mT
    table = weights["pos_embed"][0]
    prefix = len(table) - math.isqrt(len(table)) ** 2
    side = math.isqrt(len(table) - prefix)
    square = table[prefix:].T.reshape(1, -1, side, side)
    square = (
        F.interpolate(square, grid.shape[2:], mode="bicubic", antialias=True)
        if grid.shape[2:] != square.shape[2:]
        else square
    )
    first = (weights["cls_token"] + (table[:1] if prefix else 0)).expand(len(x), -1, -1)
    x = torch.cat([first, x + square.flatten(2).mT], dim=1)
    for layer in range(DEPTH):
        at = f"blocks.{layer}"
        fused = linear(f"{at}.attn.qkv", norm(f"{at}.norm1", x))
        query, key, value = fused.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        x = x + linear(f"{at}.attn.proj", (scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        x = x + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))
    return linear("head", norm("norm", x)[:, 0])


def import_model(source: Path | str, out: Path) -> ImportReport:
    """Make a classifier of a checkpoint."""
    report = import_classifier(Source.open(str(source)), out)
    assert report is not None
    return report
