"""The Transformer itself (Vaswani et al. 2017): attention, masks, positions, blocks. Knows no tokens and no files."""

from qkv.nn.attention import KVCache, LayerCache, MultiHeadAttention, Recorder, attend
from qkv.nn.mask import causal_mask, padding_mask, sparse_mask
from qkv.nn.position import (
    LearnedPositions,
    SinusoidalPositions,
    grid_sinusoids,
    make_positions,
    resample_grid,
    sinusoids,
)
from qkv.nn.transformer import Block, FeedForward, Transformer, TransformerConfig

__all__ = [
    "Block",
    "FeedForward",
    "KVCache",
    "LayerCache",
    "LearnedPositions",
    "MultiHeadAttention",
    "Recorder",
    "SinusoidalPositions",
    "Transformer",
    "TransformerConfig",
    "attend",
    "causal_mask",
    "grid_sinusoids",
    "make_positions",
    "padding_mask",
    "resample_grid",
    "sinusoids",
    "sparse_mask",
]
