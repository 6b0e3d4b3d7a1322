"""`qkv models`: what comes with the package."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def models() -> None:
    """List the bundled models."""
    from rich.console import Console
    from rich.table import Table

    from qkv.model_directory import bundled_models, read_config

    table = Table("name", "system", "knows", "parameters", "size", "licence")
    for name, folder in bundled_models().items():
        config = read_config(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        table.add_row(
            name,
            config["system"],
            _known(config),
            f"{_parameters(folder):,}",
            f"{size:.1f} MiB",
            _licence(folder),
        )
    if table.row_count:
        Console().print(table)
    else:
        print("no bundled models")


def _known(config: Mapping[str, Any]) -> str:
    """What a model can tell apart: languages, classes, captions in languages, or codes."""
    if directions := config.get("directions"):
        return ", ".join(sorted({language for direction in directions for language in direction}))
    if labels := config.get("labels"):
        return f"{len(labels):,} classes"
    if config["system"] == "dvae":
        return f"{config['model']['codes']:,} codes"
    languages = ", ".join(config.get("languages", ()))
    return f"captions: {languages}" if languages else "captions"


def _parameters(folder: Path) -> int:
    """Number of weights, read off the file's header."""
    import math

    from safetensors import safe_open

    from qkv.model_directory import WEIGHTS

    with safe_open(folder / WEIGHTS, framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _licence(folder: Path) -> str:
    """What the model card says on its line "Licence: ..."."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    found = re.search(r"^[\s*\-|]*licen[cs]e\**\s*[:|]\**\s*(.+?)[\s|]*$", text, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else "see its card"
