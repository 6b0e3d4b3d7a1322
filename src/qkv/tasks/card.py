"""The model card that training writes beside the weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qkv.data.codec import Codec, format_direction

if TYPE_CHECKING:
    from qkv.tasks.translation import TranslationConfig


def translator_card(config: "TranslationConfig", codec: Codec, facts: Mapping[str, Any], parameters: int) -> str:
    """What is known of a freshly trained translator, in Markdown; licence and limits are for its owner to add."""
    directions = ", ".join(format_direction(direction) for direction in codec.directions)
    sources = [name for corpus in config.data.train for name in (corpus.table, *(corpus.files or {}).values()) if name]
    scores = "\n".join(f"| {name} | {value:.3f} |" for name, value in facts["validation"].items())
    model = config.model
    return f"""# Translator {directions}

A Transformer (Vaswani et al. 2017) trained with qkv.

- Directions: {directions}
- Parameters: {parameters:,}; {model.n_layers}+{model.n_layers} layers, width {model.d_model},
  feed-forward {model.d_ff}, {model.n_heads} heads, vocabulary {codec.vocabulary:,}
- Trained for {facts["step"]:,} steps, {facts["hours"]:.2f} hours, batches of up to {config.data.batch_tokens:,} tokens
- Data: {", ".join(sources)}

| validation | value |
|---|---|
{scores}
"""
