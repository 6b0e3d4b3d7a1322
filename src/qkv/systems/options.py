"""Arguments and options that verbs of several systems have."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A bundled model, a model folder or a run.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Weights = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All weights as data.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="With a recipe: replace a field of it, as in `qkv train`."),
]
