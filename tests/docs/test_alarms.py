"""The page about alarms has every warning that the code can print, in its own words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VALUE = re.compile(r"%(?:\.\d)?[a-z%]")


def warnings() -> Iterator[tuple[str, str]]:
    """Each warning with the file that prints it."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_log.warning":
                text = node.args[0]
                assert isinstance(text, ast.Constant), f"{file}: a warning begins with its words"
                yield file.name, text.value


def test_every_warning_is_explained() -> None:
    page = " ".join((ROOT / "docs" / "alarms.md").read_text(encoding="utf-8").split())
    found = list(warnings())
    assert len(found) > 8
    missing = [
        (file, part) for file, text in found for part in map(str.strip, VALUE.split(text)) if part and part not in page
    ]
    assert not missing
