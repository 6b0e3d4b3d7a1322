"""The model card that training writes beside a painter's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from qkv.systems.card import bullets, metrics_table, trained
from qkv.systems.painter.saved import Saved


def card(saved: Saved, facts: Mapping[str, Any], sources: Sequence[object]) -> str:
    """What is known of a freshly trained painter, in Markdown; licence and limits are for its owner to add."""
    model, codes = saved.model, saved.dvae
    sizes = (
        f"with those of the discrete VAE; {model.n_layers} layers, width {model.d_model}, feed-forward {model.d_ff}, "
        f"{model.n_heads} heads; captions of up to {model.text_length} tokens, then {model.grid} x {model.grid} codes "
        f"of {codes.codes:,}"
    )
    return f"""# Painter

DALL-E (Ramesh et al. 2021) trained with qkv: for a caption it draws pictures of {codes.image_size} x
{codes.image_size} pixels.

{bullets(trained(facts, sizes, sources))}

{metrics_table(facts["validation"])}

![Pictures drawn for validation captions](drawings.png)
"""
