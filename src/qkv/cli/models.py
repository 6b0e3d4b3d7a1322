"""`qkv models`: what comes with the package."""

import math
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors import safe_open

from qkv.model_directory import CARD, WEIGHTS, bundled_models, read_saved
from qkv.reporter import Table
from qkv.systems.registry import system_of
from qkv.terminal.output import print_json, print_table
from qkv.terminal.text import show


def models(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> None:
    """List the bundled models."""
    found = [_facts(name, folder) for name, folder in bundled_models().items()]
    if as_json:
        print_json(found)
    elif found:
        rows = [
            (one["name"], one["system"], one["knows"], f"{one['parameters']:,}", _size(one["bytes"]), one["licence"])
            for one in found
        ]
        print_table(Table(("name", "system", "knows", "parameters", "size", "licence"), rows))
    else:
        show("no bundled models")


def _facts(name: str, folder: Path) -> dict[str, Any]:
    system = system_of(folder)
    return {
        "name": name,
        "system": system.name,
        "knows": read_saved(folder, system.part("saved").Saved).knows,
        "parameters": _parameters(folder),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "licence": _licence(folder),
        "folder": str(folder),
    }


def _size(number: int) -> str:
    return f"{number / 2**20:.1f} MiB"


def _parameters(folder: Path) -> int:
    """Number of weights, read off the file's header."""
    with safe_open(folder / WEIGHTS, framework="np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _licence(folder: Path) -> str:
    """What the model card says on its line "Licence: ..."."""
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    found = re.search(r"^[\s*\-|]*licen[cs]e\**\s*[:|]\**\s*(.+?)[\s|]*$", text, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else "see its card"
