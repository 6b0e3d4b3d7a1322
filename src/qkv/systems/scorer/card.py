"""The model card that training writes beside a scorer's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from qkv.models.clip import CLIPConfig
from qkv.systems.card import bullets, metrics_table, trained


def card(model: CLIPConfig, candidates: int, facts: Mapping[str, Any], sources: Sequence[object]) -> str:
    """What is known of a freshly trained scorer, in Markdown; licence and limits are for its owner to add."""
    image, text = model.image, model.text
    sizes = (
        f"pictures: {image.n_layers} layers, width {image.d_model}; captions of up to {text.text_length} tokens: "
        f"{text.n_layers} layers, width {text.d_model}; shared space of {model.d_shared}"
    )
    return f"""# Scorer

CLIP (Radford et al. 2021) trained with qkv: how well a picture of {image.image_size} x {image.image_size} pixels and a
caption go together.

{bullets(trained(facts, sizes, sources))}

{metrics_table(facts["validation"])}

`image_to_text` and `text_to_image` are percentages of right answers among {candidates} candidates, or among all pairs
if there are fewer.
"""
