"""The model card that training writes beside the weights of a discrete VAE."""

from collections.abc import Mapping, Sequence
from typing import Any

from qkv.models.dvae import DVAEConfig
from qkv.systems.card import bullets, metrics_table, trained


def card(model: DVAEConfig, facts: Mapping[str, Any], sources: Sequence[object]) -> str:
    """What is known of a freshly trained discrete VAE, in Markdown; licence and limits are for its owner to add."""
    side, grid = model.image_size, model.grid
    sizes = (
        f"{model.downsamplings} halvings with {model.blocks} blocks each, widths from {model.width} to "
        f"{model.widths[-1]}; quantiser {model.quantiser}, reconstruction {model.reconstruction}"
    )
    made = f"{side} x {side} pixels become {grid} x {grid} codes of {model.codes:,}"
    return f"""# Codes of pictures

A discrete VAE (Ramesh et al. 2021, section 2.1) trained with qkv.

{bullets([made, *trained(facts, sizes, sources)])}

{metrics_table(facts["validation"])}

![Pictures over what comes back from their codes](reconstructions.png)
"""
