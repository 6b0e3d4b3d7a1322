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


def corrected(page: Path) -> tuple[str, list[str], list[str]]:
    """The page with right line numbers, a line for each number that was wrong, and one for each missing name."""
    wrong: list[str] = []
    missing: list[str] = []

    def correct(match: re.Match[str]) -> str:
        name, path = match["name"], match["file"]
        file = Path(os.path.normpath(page.parent / path))
        line = definitions(file).get(name) if file.is_file() else None
        if line is None:
            missing.append(f"{page.relative_to(ROOT)}: there is no {name} in {path}")
            return match[0]
        if match["line"] != str(line):
            wrong.append(f"{page.relative_to(ROOT)}: {name} is on line {line} of {path}, not {match['line']}")
        return f"[`{name}`]({path}#L{line})"

    return LINK.sub(correct, page.read_text(encoding="utf-8")), wrong, missing


def main() -> int:
    """Correct or check all pages. The exit status is 1 where something is left to correct."""
    check = "--check" in sys.argv[1:]
    found: list[str] = []
    for page in pages():
        text, wrong, missing = corrected(page)
        found += missing + (wrong if check else [])
        if wrong and not check:
            page.write_text(text, encoding="utf-8")
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
