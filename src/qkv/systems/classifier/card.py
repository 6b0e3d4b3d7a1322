"""The model card that training writes beside a classifier's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from qkv.models.vit import ViTConfig
from qkv.systems.card import bullets, metrics_table, trained
from qkv.systems.classifier.report import ClassifierReport


def card(model: ViTConfig, report: ClassifierReport, facts: Mapping[str, Any], sources: Sequence[object]) -> str:
    """What is known of a freshly trained classifier, in Markdown; licence and limits are for its owner to add.

    `facts` are of the training, as `qkv.systems.card.trained` takes them; `sources` say where its pictures come from.
    """
    classes = "\n".join(
        f"| {score.name} | {score.precision:.1%} | {score.recall:.1%} | {score.f1:.1%} | {score.count:,} |"
        for score in report.classes
    )
    sizes = (
        f"{model.n_layers} layers, width {model.d_model}, feed-forward {model.d_ff}, {model.n_heads} heads, patches of "
        f"{model.cell} pixels, pictures of {model.image_size} x {model.image_size} pixels"
    )
    return f"""# Classifier of {len(report.classes)} classes

A Vision Transformer (Dosovitskiy et al. 2020) trained with qkv.

{bullets(trained(facts, sizes, sources))}

{metrics_table(facts["validation"])}

| class | precision | recall | F1 | pictures |
|---|---|---|---|---|
{classes}

![What each class is taken for](confusion.png)
"""
