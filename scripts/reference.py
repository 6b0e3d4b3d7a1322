"""Writes docs/reference: a page a room of `src/qkv`, in which every module of the room is named for mkdocstrings.

`python scripts/reference.py` writes the pages; `--check` only tells which are not as it would write them.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, PAGES = ROOT / "src" / "qkv", ROOT / "docs" / "reference"
COMMAND_LINE = "cli"  # its reference is `qkv --help`
FOUNDATIONS = "foundations"

_INDEX = """# Reference

Generated from the docstrings of the source. Shapes are written as in the code: B batch, T target length, S source
length, H heads, D model width, V vocabulary. A mask is True where attention is allowed.

| room | what is there |
|---|---|
"""


def pages() -> dict[str, str]:
    """What each page of the folder is to hold, by its name."""
    found = {f"{room.name}.md": _page(room.name, _purpose(room), _modules(room)) for room in _rooms()}
    single = [file for file in sorted(SOURCE.glob("*.py")) if not file.name.startswith("__")]
    purpose = "Model directory, configuration, files, errors: what every room stands on."
    found[f"{FOUNDATIONS}.md"] = _page(FOUNDATIONS, purpose, map(_dotted, single))
    rows = [f"| [{room.name}]({room.name}.md) | {_purpose(room)} |" for room in _rooms()]
    rows.append(f"| [{FOUNDATIONS}]({FOUNDATIONS}.md) | {purpose} |")
    return {"index.md": _INDEX + "\n".join(rows) + "\n", **found}


def _rooms() -> list[Path]:
    inside = (file.parent for file in SOURCE.glob("*/__init__.py"))
    return sorted(folder for folder in inside if folder.name != COMMAND_LINE)


def _modules(room: Path) -> Iterator[str]:
    for file in sorted(room.rglob("*.py"), key=lambda file: (len(file.relative_to(room).parts), file)):
        if not file.name.startswith("__"):
            yield _dotted(file)


def _dotted(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)


def _purpose(room: Path) -> str:
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def _page(name: str, purpose: str, modules: Iterator[str]) -> str:
    return f"# {name}\n\n{purpose}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"


def main() -> int:
    """Write or check all pages. The exit status is 1 where `--check` finds one that is not right."""
    wanted, there = pages(), {page.name: page.read_text(encoding="utf-8") for page in PAGES.glob("*.md")}
    wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if "--check" in sys.argv[1:]:
        for name in wrong:
            print(f"docs/reference/{name} is not as scripts/reference.py writes it: run `make format`", file=sys.stderr)
        return 1 if wrong else 0
    for name in wrong:
        if name in wanted:
            (PAGES / name).write_text(wanted[name], encoding="utf-8")
        else:
            (PAGES / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
