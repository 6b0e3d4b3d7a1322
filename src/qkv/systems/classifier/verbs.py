"""What the command line does with a classifier. What `qkv classify` has no use for is imported where it is needed."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.data.pictures.decode import find_pictures
from qkv.errors import QkvError
from qkv.model_directory import local_model
from qkv.reporter import Table
from qkv.systems.classifier.pipeline import Classifier, Prediction
from qkv.systems.options import AsJson, BatchSize, Device, Force, Model, Quiet, Threads, Weights, load
from qkv.terminal.output import (
    Target,
    check_files,
    name_written,
    print_json,
    print_table,
    write_bytes,
    write_json,
)
from qkv.terminal.reporter import TerminalReporter
from qkv.terminal.text import one_line, show

if TYPE_CHECKING:
    from qkv.interop.source import Source
    from qkv.systems.classifier.report import ClassifierReport


def classify(
    model: Model,
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURE...", help="Files, folders or patterns such as 'photos/*.jpg'.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to give for a picture.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: file, and predictions or error.")] = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Say what is on pictures: the most probable classes of each, best first. Exits 1 if any cannot be read."""
    files, wrong = find_pictures(pictures)
    for name, error in wrong.items():
        _show(name, error, as_json)
    classifier = load(Classifier, model, device, threads, batch_size)
    unreadable = 0
    with TerminalReporter(silent=quiet) as reporter:
        for file, answer in reporter.track(classifier.stream(files, top_k), "classifying pictures", len(files)):
            unreadable += isinstance(answer, QkvError)
            _show(str(file), answer, as_json)
    if unreadable:
        show(f"{unreadable:,} of {len(files):,} pictures cannot be read", to_stderr=True)
    if unreadable or wrong:
        raise typer.Exit(1)


def _show(file: str, answer: list[Prediction] | QkvError, as_json: bool) -> None:
    if isinstance(answer, QkvError):
        show(one_line(f"error: {answer}"), to_stderr=True)
        fields: dict[str, object] = {"error": str(answer)}
    else:
        fields = {"predictions": [{"label": one.label, "probability": round(one.probability, 6)} for one in answer]}
    if as_json:
        print_json({"file": file, **fields})
    elif not isinstance(answer, QkvError):
        show(one_line(f"{file}: " + ", ".join(f"{one.label} {one.probability:.1%}" for one in answer)))


def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="A folder of class folders, a .csv or .parquet table, or IDX pictures.")],
    confusion: Annotated[Path | None, typer.Option(metavar="FILE.png", help="What each class is taken for.")] = None,
    as_json: AsJson = False,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Measure a classifier on a test set: accuracy, calibration, and precision, recall and F1 of each class."""
    from qkv.data.pictures.readers import open_pictures
    from qkv.data.pictures.sources import PictureSource
    from qkv.figures.confusion import draw_confusion
    from qkv.systems.classifier.report import report

    check_files(Target("--confusion", confusion, ".png"), reads=[data, local_model(model)], force=force)
    classifier = load(Classifier, model, device, threads, batch_size)
    with TerminalReporter(silent=quiet) as reporter:
        pictures = open_pictures(PictureSource.of(data))
        found = report(classifier, pictures, partial(reporter.progress, f"pictures of {data.name}"))
    for line in found.unreadable:
        show(one_line(f"left out: {line}"), to_stderr=True)
    if as_json:
        print_json({"model": model, "data": str(data), **found.to_json()})
    else:
        _print_report(f"{model} on {data}, {found.pictures:,} pictures", found)
    if confusion is not None:
        write_bytes(confusion, draw_confusion(found.confusion, classifier.labels))


def _print_report(title: str, found: "ClassifierReport") -> None:
    show(title)
    top_5 = f", top 5 {found.top_5_accuracy:.2%}" if len(found.classes) > 5 else ""
    show(f"accuracy {found.accuracy:.2%}{top_5}")
    unscaled = f"without temperature scaling {found.calibration_error_unscaled:.2%}"
    show(f"expected calibration error {found.calibration_error:.2%}, {unscaled}")
    rows = [
        (score.name, f"{score.precision:.1%}", f"{score.recall:.1%}", f"{score.f1:.1%}", f"{score.count:,}")
        for score in found.classes
    ]
    print_table(Table(("class", "precision", "recall", "F1", "pictures"), rows))


def explain(
    model: Model,
    picture: Annotated[Path, typer.Argument(help="What to classify.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="[default: for PICTURE.jpg PICTURE.attention.png]")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Show this layer's heads, from 1. [default: the last]")] = None,
    weights: Weights = None,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Draw where a classifier looks on a picture: attention rollout, and every head of one layer."""
    from qkv.systems.classifier import explain as explaining

    out = out or Path(f"{picture.stem}.attention.png")
    check_files(
        Target("--out", out, ".png"), Target("--json", weights), reads=[picture, local_model(model)], force=force
    )
    predictions, attention = explaining.explain(load(Classifier, model, device, threads), picture, out, layer)
    for found in predictions:
        show(f"{found.probability:6.1%}  {found.label}")
    if weights is not None:
        write_json(weights, {"file": str(picture), **attention.to_json()})
    if not quiet:
        name_written({"the picture": out, "the weights": weights})


def export(
    model: Model,
    format_: Annotated[str, typer.Option("--format", help="onnx, or torch (torch.export).", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, such as model.onnx or model.pt2.", show_default=False)],
    force: Force = False,
) -> None:
    """Export a classifier as one file, with its labels and preprocessing, and check that its logits are ours."""
    from qkv.interop.exporting import export_classifier

    check_files(Target("--out", out), reads=[local_model(model)], force=force)
    classifier = load(Classifier, model, device="cpu")
    written = export_classifier(classifier.model, classifier.metadata(), format_, out)
    opset = "" if written.opset is None else f", opset {written.opset}"
    show(f"{out}: {format_}{opset}, {written.size / 2**20:.1f} MiB")
    if written.difference is None:
        show("parity: not checked: onnxruntime is not installed (pip install 'qkv[export]')")
    else:
        show(f"parity: logits of {written.checked_with} differ from ours by at most {written.difference:.1e}")


def import_(source: "Source", out: Path, replace: bool = False) -> bool:
    """Make a classifier of a checkpoint of another library; false if this is none that a classifier can be made of."""
    from qkv.systems.classifier.importing import import_classifier

    found = import_classifier(source, out, replace)
    if found is None:
        return False
    show(f"{source.name}: {found.kind}, {found.parameters:,} parameters, {found.classes:,} classes")
    show(f"licence: {found.licence}")
    show(f"parity: {found.parity}")
    show(f"saved: {out}")
    return True
