"""`qkv import`: a checkpoint of another library becomes a model of qkv."""

from pathlib import Path
from typing import Annotated

import typer

from qkv.errors import QkvError
from qkv.interop.source import Source
from qkv.systems.options import Force
from qkv.systems.registry import systems
from qkv.terminal.output import check_folder


def import_(
    source: Annotated[
        str, typer.Argument(help="A checkpoint's folder, or its name on the Hugging Face Hub.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Model folder to write.", show_default=False)],
    force: Force = False,
) -> None:
    """Import a checkpoint of another library: it must give what the original gives, which is run if installed."""
    check_folder("--out", out, [source], force)
    opened = Source.open(source)
    if {"format", "system"} <= opened.config.keys():
        raise QkvError(f"{source} is a model of qkv already: use it as it is")
    importing = [system for system in systems() if system.imports]
    if not any(system.function("import_")(opened, out, force) for system in importing):
        known = "; ".join(system.imports for system in importing)
        raise QkvError(f"{source} is of the type {opened.config.get('model_type')!r}: only {known} can be imported")
