"""A tiny classifier with random weights, for tests that need a model directory but no sense in its output."""

from pathlib import Path

import torch
from torch import nn

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.model_directory import save_model
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import get_weights
from qkv.systems.classifier.saved import Saved

LABELS = ["ant", "bee", "cow"]
SIZES = {"image_size": 8, "patch_size": 4, "d_model": 16, "n_heads": 2, "n_layers": 2, "d_ff": 24}


def tiny_vit(folder: Path, temperature: float = 2.0, **options) -> Path:
    """Write a classifier of random weights; the same one at each call."""
    config = ViTConfig(**{**SIZES, **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = ViT(config, len(LABELS))
        nn.init.normal_(model.head.weight)
    half = (0.5,) * config.channels
    preprocessing = Preprocessing(size=config.image_size, channels=config.channels, mean=half, std=half)
    saved = Saved(model=config, labels=tuple(LABELS), preprocessing=preprocessing, temperature=temperature)
    save_model(folder, saved, get_weights(model), {"README.md": b"# Tiny\n\n- Licence: none needed\n"})
    return folder
