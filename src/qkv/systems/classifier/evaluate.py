"""`qkv eval` of a classifier: accuracy, calibration, and what each class is taken for."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qkv.systems.classifier.report import ClassifierReport


def evaluate_classifier(model: str, data: Path, confusion: Path | None, as_json: bool) -> None:
    """Measure a classifier.

    Args:
        model: its name or folder.
        data: the test set.
        confusion: where to draw what each class is taken for, if anywhere.
        as_json: whether to print one JSON object instead of tables.

    Raises:
        QkvError: the test set cannot be used.
    """
    import qkv
    from qkv.data.pictures.readers import open_pictures
    from qkv.data.pictures.sources import PictureSource
    from qkv.figures.confusion import draw_confusion
    from qkv.files import atomic_file
    from qkv.systems.classifier import report as classifier_report
    from qkv.terminal.progress import progress_bar

    classifier = qkv.load(model)
    with progress_bar("pictures") as bar:
        task = bar.add_task(data.name)
        report = classifier_report.evaluate_classifier(
            classifier,
            open_pictures(PictureSource.of(data)),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in report.unreadable:
        print(f"left out: {line}", file=sys.stderr)
    if as_json:
        print(json.dumps({"model": model, "data": str(data), **report.to_json()}, ensure_ascii=False), flush=True)
    else:
        _print_report(f"{model} on {data}, {report.pictures:,} pictures", report)
    if confusion is not None:
        with atomic_file(confusion) as temporary:
            temporary.write_bytes(draw_confusion(report.confusion, classifier.labels))


def _print_report(title: str, report: "ClassifierReport") -> None:
    from rich.console import Console
    from rich.table import Table

    print(title)
    top_5 = f", top 5 {report.top_5_accuracy:.2%}" if len(report.classes) > 5 else ""
    print(f"accuracy {report.accuracy:.2%}{top_5}")
    print(
        f"expected calibration error {report.calibration_error:.2%}, "
        f"without temperature scaling {report.calibration_error_unscaled:.2%}"
    )
    table = Table("class", "precision", "recall", "F1", "pictures")
    for score in report.classes:
        table.add_row(
            score.name, f"{score.precision:.1%}", f"{score.recall:.1%}", f"{score.f1:.1%}", f"{score.count:,}"
        )
    Console(markup=False).print(table)
