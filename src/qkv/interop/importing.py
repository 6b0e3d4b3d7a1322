"""From a checkpoint of another library to a model directory."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qkv.errors import QkvError
from qkv.interop.checkpoint import Checkpoint
from qkv.interop.hugging_face import read_hugging_face
from qkv.interop.parity import Parity, compare
from qkv.interop.source import README, Source
from qkv.interop.timm_vit import read_timm
from qkv.model_directory import save_model
from qkv.models.weights import get_weights


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


def import_model(source: str, out: Path) -> ImportReport:
    """Read a checkpoint of Hugging Face or timm, compare it with the original, and write a model directory.

    Args:
        source: a folder, or a name on the Hugging Face Hub ("owner/name").
        out: where to write; must not be there yet, or be empty.

    Raises:
        QkvError: the checkpoint is incomplete, has what our ViT has not, or its logits differ; nothing is written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise QkvError(f"{out} is there already; give another folder or remove it first")
    opened = Source.open(source)
    checkpoint = _read(opened)
    parity = compare(checkpoint.model, checkpoint.reference)
    weights = get_weights(checkpoint.model)
    parameters = sum(weight.numel() for weight in weights.values())
    report = ImportReport(checkpoint.kind, parameters, len(checkpoint.labels), opened.licence(), parity)
    config = {
        "model": asdict(checkpoint.model.config),
        "labels": checkpoint.labels,
        "preprocessing": asdict(checkpoint.preprocessing),
        "temperature": 1.0,
    }
    card = _card(opened, checkpoint, report)
    save_model(out, system="vit", config=config, weights=weights, files={README: card.encode()})
    return report


def _read(source: Source) -> Checkpoint:
    config, kind = source.config, source.config.get("model_type")
    if {"format", "system"} <= config.keys():
        raise QkvError(f"{source.name} is a model of qkv already: use it as it is")
    if kind == "vit":
        return read_hugging_face(source)
    if "architecture" in config:
        return read_timm(source)
    raise QkvError(
        f"{source.name} is of the type {kind!r}: only ViTForImageClassification of Hugging Face, and "
        "vit_* and deit_* of timm, can be imported"
    )


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
