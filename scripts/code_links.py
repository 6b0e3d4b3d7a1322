"""Keeps the documentation's links to source lines right.

A link is written [`Name`](../src/qkv/room/file.py#L12), where Name is a class, a function, a constant, or Class.member.
`python scripts/code_links.py` rewrites the line numbers; `--check` only tells which are wrong.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<file>[\w./-]*src/qkv/[\w./-]+\.py)(?:#L(?P<line>\d+))?\)")


def pages() -> list[Path]:
    """Every page that may link to source."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def definitions(file: Path) -> dict[str, int]:
    """The line on which each name of a module is defined; a decorated one starts at its `def` or `class`."""
    return dict(_definitions(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield prefix + node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}{node.name}.")
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from ((prefix + target.id, node.lineno) for target in targets if isinstance(target, ast.Name))


def corrected(page: Path) -> tuple[str, list[str]]:
    """The page with right line numbers, and one line for each link that was wrong.

    Raises:
        ValueError: a link leads to a file or a name that does not exist.
    """
    wrong: list[str] = []

    def correct(match: re.Match[str]) -> str:
        name, path = match["name"], match["file"]
        file = Path(os.path.normpath(page.parent / path))
        line = definitions(file).get(name) if file.is_file() else None
        if line is None:
            raise ValueError(f"{page.relative_to(ROOT)}: there is no {name} in {path}")
        if match["line"] != str(line):
            wrong.append(f"{page.relative_to(ROOT)}: {name} is on line {line} of {path}, not {match['line']}")
        return f"[`{name}`]({path}#L{line})"

    return LINK.sub(correct, page.read_text(encoding="utf-8")), wrong


def main() -> int:
    """Correct or check all pages; the number of wrong links is the exit status."""
    check = "--check" in sys.argv[1:]
    found: list[str] = []
    for page in pages():
        text, wrong = corrected(page)
        found += wrong
        if wrong and not check:
            page.write_text(text, encoding="utf-8")
    print("\n".join(found), end="\n" if found else "")
    return min(len(found), 1) if check else 0


if __name__ == "__main__":
    sys.exit(main())
