"""`qkv classify`: what is on pictures."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.pipelines import Prediction


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
    from qkv.cli.file_job import progress_bar
    from qkv.cli.system import check_system
    from qkv.data.picture import find_pictures

    check_system(model, "vit", "classify")
    files = find_pictures(pictures)
    classifier = qkv.load(model)
    unreadable = 0
    with progress_bar("pictures") as bar:
        task = bar.add_task("classifying", total=len(files))
        for file, answer in classifier.stream(files, top_k):
            if isinstance(answer, QkvError):
                unreadable += 1
                print(f"error: {answer}", file=sys.stderr)
            if as_json:
                print(json.dumps({"file": str(file), **_fields(answer)}, ensure_ascii=False))
            elif not isinstance(answer, QkvError):
                print(f"{file}: " + ", ".join(f"{found.label} {found.probability:.1%}" for found in answer))
            sys.stdout.flush()
            bar.advance(task)
    if unreadable:
        print(f"{unreadable:,} of {len(files):,} pictures cannot be read", file=sys.stderr)
        raise typer.Exit(1)


def _fields(answer: "list[Prediction] | QkvError") -> dict[str, object]:
    if isinstance(answer, QkvError):
        return {"error": str(answer)}
    return {"predictions": [{"label": found.label, "probability": round(found.probability, 6)} for found in answer]}
