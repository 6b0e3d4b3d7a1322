"""`qkv eval`: how good a model is on a test set."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.pipelines.classifier_report import ClassifierReport
    from qkv.pipelines.evaluation import Metric


def evaluate(
    model: Annotated[str, typer.Argument(help="Bundled model, model folder, run, or owner/name on the Hub.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="Classifiers: a folder of class folders, a .csv or .parquet table, or IDX pictures."),
    ] = None,
    src: Annotated[Path | None, typer.Option(help="Translators: text, a sentence a line; .gz is unpacked.")] = None,
    ref: Annotated[Path | None, typer.Option(help="Translators: its translation by a person, line by line.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Translators: language of --src.")] = None,
    to: Annotated[str | None, typer.Option(help="Translators: language of --ref.")] = None,
    beam_size: Annotated[
        int | None, typer.Option(help="Translators: hypotheses that go on, 5 unless given; 1 is greedy.")
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Classifiers: draw what each class is taken for.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on a test set.

    Translators: BLEU, chrF and TER, with signatures and 95 % confidence intervals. Classifiers: accuracy, calibration,
    and precision, recall and F1 of each class.
    """
    from qkv.cli.system import check_system, refuse_options, system_of

    for_translators = {"--src": src, "--ref": ref, "--from": from_, "--to": to, "--beam-size": beam_size}
    if (system := system_of(model)) == "vit":
        refuse_options(model, system, "translators", for_translators)
        if data is None:
            raise QkvError(f"{model} is a classifier: give its test set, such as a folder of class folders")
        _evaluate_classifier(model, data, confusion, as_json)
        return
    check_system(model, "translator", "be measured")
    refuse_options(model, system, "classifiers", {str(data): data, "--confusion": confusion})
    if src is None or ref is None or from_ is None or to is None:
        missing = [name for name in ("--src", "--ref", "--from", "--to") if for_translators[name] is None]
        raise QkvError(f"{model} is a translator: to measure it, {' and '.join(missing)} must be given too")
    _evaluate_translator(model, src, ref, from_, to, beam_size, as_json)


def _evaluate_classifier(model: str, data: Path, confusion: Path | None, as_json: bool) -> None:
    import qkv
    from qkv.cli.file_job import progress_bar
    from qkv.data.pictures import Pictures, PictureSource
    from qkv.explain.confusion import draw_confusion
    from qkv.files import atomic_file
    from qkv.pipelines.classifier_report import evaluate_classifier

    classifier = qkv.load(model)
    with progress_bar("pictures") as bar:
        task = bar.add_task(data.name)
        report = evaluate_classifier(
            classifier,
            Pictures.open(PictureSource.of(data)),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in report.unreadable:
        print(f"left out: {line}", file=sys.stderr)
    if confusion is not None:
        with atomic_file(confusion) as temporary:
            temporary.write_bytes(draw_confusion(report.confusion, classifier.labels))
    if as_json:
        print(json.dumps({"model": model, "data": str(data), **report.to_json()}, ensure_ascii=False))
    else:
        _print_report(f"{model} on {data}, {report.pictures:,} pictures", report)


def _print_report(title: str, report: "ClassifierReport") -> None:
    from rich.console import Console
    from rich.table import Table

    print(title)
    print(f"accuracy {report.accuracy:.2%}, top 5 {report.top_5_accuracy:.2%}")
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


def _evaluate_translator(
    model: str, src: Path, ref: Path, from_: str, to: str, beam_size: int | None, as_json: bool
) -> None:
    import sacrebleu
    import torch

    import qkv
    from qkv.cli.file_job import progress_bar
    from qkv.data.readers import read_lines
    from qkv.pipelines.decoding import Decoding
    from qkv.pipelines.evaluation import score

    decoding = Decoding(beam_size=beam_size)
    sources, references = list(read_lines(src)), list(read_lines(ref))
    if len(sources) != len(references):
        raise QkvError(f"{src} has {len(sources):,} lines, {ref} has {len(references):,}: line n must belong to line n")
    translator = qkv.load(model)
    with progress_bar("lines") as bar:
        task = bar.add_task(src.name, total=len(sources))
        translations = translator.translate(
            sources,
            to,
            from_,
            beam_size=beam_size,
            progress=lambda done, total: bar.update(task, completed=len(sources) * done / total),
        )
    metrics = score([translation.text for translation in translations], references, to)
    flags = Counter(flag for translation in translations for flag in translation.flags)
    if as_json:
        facts = {
            "model": model,
            "from": from_,
            "to": to,
            "lines": len(sources),
            "beam_size": decoding.width,
            "metrics": {metric.name: metric.to_json() for metric in metrics},
            "flags": dict(flags),
            "versions": {"qkv": qkv.__version__, "sacrebleu": sacrebleu.__version__, "torch": torch.__version__},
        }
        print(json.dumps(facts, ensure_ascii=False))
    else:
        _print_table(f"{model} {from_}-{to}, {len(sources):,} lines, beam {decoding.width}", metrics, flags)


def _print_table(title: str, metrics: "list[Metric]", flags: Counter[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "score", "95 % interval")
    for metric in metrics:
        table.add_row(metric.name, f"{metric.score:.2f}", f"{metric.mean:.2f} ± {metric.interval:.2f}")
    print(title)
    Console().print(table)
    for metric in metrics:
        print(f"{metric.name}|{metric.signature}")
    if flags:
        print("flags: " + ", ".join(f"{name} {count:,}" for name, count in flags.most_common()))
