"""A tiny scorer with random weights, for tests that need a model directory but no sense in its scores."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.model_directory import save_model
from qkv.models.clip import CLIP, CLIPConfig, TextConfig
from qkv.models.vit import ViTConfig
from qkv.models.weights import get_weights
from qkv.systems.scorer.saved import Saved

CAPTIONS = ["a red bird", "a blue bird on a tree", "two green fish", "빨간 새"]
WIDTHS: dict[str, Any] = {"d_model": 16, "n_heads": 2, "n_layers": 1, "d_ff": 24}
SIZES = CLIPConfig(
    image=ViTConfig(image_size=8, patch_size=4, **WIDTHS), text=TextConfig(text_length=24, **WIDTHS), d_shared=8
)


def tiny_scorer(folder: Path) -> Path:
    """Write a scorer of random weights; the same one at each call."""
    tokenizer = Tokenizer.train(CAPTIONS, TokenizerConfig(vocabulary=310))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = CLIP(SIZES, len(tokenizer))
        nn.init.constant_(model.log_scale, 3.0)
    preprocessing = Preprocessing(size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    saved = Saved(model=SIZES, vocabulary=len(tokenizer), preprocessing=preprocessing)
    files = {"README.md": b"# Tiny\n\n- Licence: none needed\n", "tokenizer.model": tokenizer.to_bytes()}
    save_model(folder, saved, get_weights(model), files)
    return folder
