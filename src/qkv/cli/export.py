"""`qkv export`: a model as a program that other runtimes run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder or a run.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", help="onnx, or torch (torch.export).", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, such as model.onnx or model.pt2.", show_default=False)],
) -> None:
    """Export a classifier as one file, with its labels and preprocessing, and check that its logits are ours."""
    import qkv
    from qkv.cli.naming import check_system
    from qkv.interop import export_classifier

    check_system(model, "vit", "be exported", "only classifiers can")
    classifier = qkv.load(model, device="cpu")
    metadata = {
        "system": "vit",
        "labels": list(classifier.labels),
        "preprocessing": asdict(classifier.preprocessing),
        "temperature": classifier.temperature,
    }
    report = export_classifier(classifier.model, metadata, format_, out)
    opset = "" if report.opset is None else f", opset {report.opset}"
    print(f"{out}: {format_}{opset}, {report.size / 2**20:.1f} MiB")
    if report.difference is None:
        print("parity: not checked: onnxruntime is not installed (pip install 'qkv[export]')")
    else:
        print(f"parity: logits of {report.checked_with} differ from ours by at most {report.difference:.1e}")
