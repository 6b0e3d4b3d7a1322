"""`qkv models`: what comes with the package."""

import math
import re
from pathlib import Path

from safetensors import safe_open

from qkv.model_directory import CARD, WEIGHTS, bundled_models, read_saved
from qkv.reporter import Table
from qkv.systems.registry import system_of
from qkv.terminal.output import print_table
from qkv.terminal.text import show


def models() -> None:
    """List the bundled models."""
    rows = []
    for name, folder in bundled_models().items():
        system = system_of(folder)
        knows = read_saved(folder, system.part("saved").Saved).knows
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        rows.append((name, system.name, knows, f"{_parameters(folder):,}", f"{size:.1f} MiB", _licence(folder)))
    if rows:
        print_table(Table(("name", "system", "knows", "parameters", "size", "licence"), rows))
    else:
        show("no bundled models")


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
