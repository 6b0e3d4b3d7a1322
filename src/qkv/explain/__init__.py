"""What a model attends to: as data and as pictures. Layers and heads count from 1, as in the paper."""

from qkv.explain.attention import (
    AttentionMap,
    AttentionRecord,
    Link,
    informative_head,
    record_attention,
)
from qkv.explain.overlay import draw_patches
from qkv.explain.patches import PatchAttention, attention_rollout, record_patches
from qkv.explain.picture import Drawing, Panel, draw, draw_translation
from qkv.explain.words import Token, group_words
from qkv.figures.fonts import printable

__all__ = [
    "AttentionMap",
    "AttentionRecord",
    "Drawing",
    "Link",
    "Panel",
    "PatchAttention",
    "Token",
    "attention_rollout",
    "draw",
    "draw_patches",
    "draw_translation",
    "group_words",
    "informative_head",
    "printable",
    "record_attention",
    "record_patches",
]
