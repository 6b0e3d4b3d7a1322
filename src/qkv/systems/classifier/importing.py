"""From a checkpoint of another library to a classifier's model directory."""

from dataclasses import dataclass
from pathlib import Path

from qkv.errors import QkvError
from qkv.interop.checkpoint import Checkpoint
from qkv.interop.importing import read_vit
from qkv.interop.parity import Parity, compare
from qkv.interop.source import Source
from qkv.model_directory import CARD, save_model
from qkv.models.weights import get_weights
from qkv.systems.classifier.saved import Saved


@dataclass(frozen=True)
class ImportReport:
    """What became of a checkpoint.

    Attributes:
        kind: what it was, in words.
        parameters: number of weights.
        classes: number of labels.
        licence: as its README says, or where to look.
        parity: how it compares with the original.
    """

    kind: str
    parameters: int
    classes: int
    licence: str
    parity: Parity


def import_classifier(source: Source, out: Path, replace: bool = False) -> ImportReport | None:
    """Read a checkpoint of Hugging Face or timm, compare it with the original, and write a model directory.

    Returns None if it is of no kind that a classifier can be made of. One that is incomplete, has what our ViT has not,
    or gives other logits is refused, and nothing is written; nor over an `out` that is there and not
    empty, unless it is to be replaced.
    """
    if not replace and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise QkvError(f"{out} is there already; give another folder or remove it first")
    checkpoint = read_vit(source)
    if checkpoint is None:
        return None
    parity = compare(checkpoint.model, checkpoint.reference)
    weights = get_weights(checkpoint.model)
    parameters = sum(weight.numel() for weight in weights.values())
    report = ImportReport(checkpoint.kind, parameters, len(checkpoint.labels), source.licence(), parity)
    labels = tuple(checkpoint.labels)
    saved = Saved(model=checkpoint.model.config, labels=labels, preprocessing=checkpoint.preprocessing)
    save_model(out, saved, weights, {CARD: _card(source, checkpoint, report).encode()})
    return report


def _card(source: Source, checkpoint: Checkpoint, report: ImportReport) -> str:
    sizes = checkpoint.model.config
    return f"""# Classifier of {report.classes:,} classes

A Vision Transformer (Dosovitskiy et al. 2020), imported by qkv.

- Source: {source.name}, a {report.kind}
- Licence: {report.licence}
- Parameters: {report.parameters:,}; {sizes.n_layers} layers, width {sizes.d_model}, feed-forward {sizes.d_ff},
  {sizes.n_heads} heads, patches of {sizes.cell} pixels, pictures of {sizes.image_size} x {sizes.image_size} pixels
- Parity: {report.parity}
- Probabilities are not calibrated: the temperature is 1
"""
