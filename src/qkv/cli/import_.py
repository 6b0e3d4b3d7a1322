"""`qkv import`: a checkpoint of another library becomes a model of qkv."""

from pathlib import Path
from typing import Annotated

import typer


def import_model(
    source: Annotated[
        str, typer.Argument(help="A checkpoint's folder, or its name on the Hugging Face Hub.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Model folder to write; must not be there yet.", show_default=False)],
) -> None:
    """Import a ViT of Hugging Face or timm: its logits must equal the original's, which is run if installed."""
    from qkv import interop

    report = interop.import_model(source, out)
    print(f"{source}: {report.kind}, {report.parameters:,} parameters, {report.classes:,} classes")
    print(f"licence: {report.licence}")
    print(f"parity: {report.parity}")
    print(f"saved: {out}")
