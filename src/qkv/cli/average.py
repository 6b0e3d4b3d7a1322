"""`qkv average`: one model whose weights are the mean of several."""

from pathlib import Path
from typing import Annotated

import typer

from qkv.model_directory import find_model
from qkv.runs.averaging import average_models
from qkv.systems.options import Force, complete_model
from qkv.terminal.output import check_folder
from qkv.terminal.text import show


def average(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Bundled models, model folders or runs.", show_default=False, autocompletion=complete_model
        ),
    ],
    out: Annotated[Path, typer.Option(help="Model folder to write.", show_default=False)],
    share: Annotated[
        list[float] | None, typer.Option(help="How much of each model, in their order; equal unless given.")
    ] = None,
    force: Force = False,
) -> None:
    """Average the weights of models that were trained on from the same one: often better than each of them."""
    folders = [find_model(model) for model in models]
    check_folder("--out", out, folders, force)
    average_models(folders, out, share, replace=force)
    show(f"saved: {out}")
