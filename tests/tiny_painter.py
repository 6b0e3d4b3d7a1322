"""A tiny painter with random weights, for tests that need a model directory but no sense in its pictures."""

from pathlib import Path

import torch
from torch import nn

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.model_directory import save_model
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import get_weights
from qkv.systems.painter.saved import Saved

CAPTIONS = ["a red bird", "a blue bird on a tree", "two green fish", "빨간 새"]
CODES = DVAEConfig(image_size=8, codes=9, d_code=4, width=4, downsamplings=1, blocks=1, reconstruction="mse")
SIZES = DalleConfig(text_length=12, grid=4, d_model=16, n_heads=2, n_layers=2, d_ff=24)


def tiny_painter(folder: Path) -> Path:
    """Write a painter of random weights; the same one at each call."""
    tokenizer = Tokenizer.train(CAPTIONS, TokenizerConfig(vocabulary=310))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        dvae, model = DVAE(CODES), Dalle(SIZES, len(tokenizer), CODES.codes)
        nn.init.normal_(model.image_head.weight)
    weights = {f"dalle.{name}": weight for name, weight in get_weights(model).items()}
    weights |= {f"dvae.{name}": weight for name, weight in get_weights(dvae).items()}
    preprocessing = Preprocessing(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
    saved = Saved(model=SIZES, vocabulary=len(tokenizer), dvae=CODES, preprocessing=preprocessing)
    files = {"README.md": b"# Tiny\n\n- Licence: none needed\n", "tokenizer.model": tokenizer.to_bytes()}
    save_model(folder, saved, weights, files)
    return folder
