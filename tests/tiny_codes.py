"""A tiny discrete VAE with random weights, for tests that need a model directory but no sense in its codes."""

from pathlib import Path

import torch

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.model_directory import save_model
from qkv.models.dvae import DVAE
from qkv.models.weights import get_weights
from qkv.systems.codes.saved import Saved
from tiny_painter import CODES

__all__ = ["CODES", "tiny_codes"]


def tiny_codes(folder: Path) -> Path:
    """Write a discrete VAE of random weights; the same one at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = DVAE(CODES)
    preprocessing = Preprocessing(size=CODES.image_size, mean=(0.0,) * 3, std=(1.0,) * 3)
    saved = Saved(model=CODES, preprocessing=preprocessing)
    save_model(folder, saved, get_weights(model), {"README.md": b"# Tiny\n"})
    return folder
