"""`qkv classify`: what is on pictures."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.systems.classifier.pipeline import Prediction


def classify(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder or a run.", show_default=False)],
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURE...", help="Files, folders or patterns such as 'photos/*.jpg'.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to give for a picture.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: file, and predictions or error.")] = False,
) -> None:
    """Say what is on pictures: the most probable classes of each, best first. Exits 1 if any cannot be read."""
    import qkv
    from qkv.cli.naming import check_system
    from qkv.data.pictures.decode import find_pictures
    from qkv.terminal.progress import progress_bar

    check_system(model, "vit", "classify")
    files, wrong = find_pictures(pictures)
    for name, error in wrong.items():
        _show(name, error, as_json)
    classifier = qkv.load(model)
    unreadable = 0
    with progress_bar("pictures") as bar:
        task = bar.add_task("classifying", total=len(files))
        for file, answer in classifier.stream(files, top_k):
            unreadable += isinstance(answer, QkvError)
            _show(str(file), answer, as_json)
            bar.advance(task)
    if unreadable:
        print(f"{unreadable:,} of {len(files):,} pictures cannot be read", file=sys.stderr)
    if unreadable or wrong:
        raise typer.Exit(1)


def _show(file: str, answer: "list[Prediction] | QkvError", as_json: bool) -> None:
    from qkv.figures.fonts import printable

    if isinstance(answer, QkvError):
        print(f"error: {answer}", file=sys.stderr)
        fields: dict[str, object] = {"error": str(answer)}
    else:
        found = [{"label": one.label, "probability": round(one.probability, 6)} for one in answer]
        fields = {"predictions": found}
    if as_json:
        line = json.dumps({"file": file, **fields}, ensure_ascii=not _is_text(file))
        print(line, flush=True)
    elif not isinstance(answer, QkvError):
        print(f"{printable(file)}: " + ", ".join(f"{one.label} {one.probability:.1%}" for one in answer), flush=True)


def _is_text(name: str) -> bool:
    """Whether a file's name can be written as UTF-8: Linux takes any bytes for a name."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
