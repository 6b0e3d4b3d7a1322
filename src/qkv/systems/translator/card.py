"""The model card that training writes beside a translator's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from qkv.data.parallel.vocabulary import format_directions
from qkv.models.translator import TranslatorConfig
from qkv.systems.card import bullets, metrics_table, trained
from qkv.systems.translator.saved import Saved, describe


def card(saved: Saved, facts: Mapping[str, Any], sources: Sequence[object]) -> str:
    """What is known of a freshly trained translator, in Markdown; licence and limits are for its owner to add.

    `facts` are of the training, as `qkv.systems.card.trained` takes them; `sources` say where its text comes from.
    """
    directions, model = format_directions(saved.directions), saved.model
    inside = f", feed-forward {model.d_ff}, {model.n_heads} heads" if isinstance(model, TranslatorConfig) else ""
    sizes = f"{model.n_layers}+{model.n_layers} layers, width {model.d_model}{inside}, vocabulary {saved.vocabulary:,}"
    return f"""# Translator {directions}

{describe(model)} trained with qkv.

{bullets([f"Directions: {directions}", *trained(facts, sizes, sources)])}

{metrics_table(facts["validation"])}
"""
