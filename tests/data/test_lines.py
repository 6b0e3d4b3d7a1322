"""Lines end at line feeds, wherever a text comes from."""

import ast
from pathlib import Path

import pytest

from qkv.data.lines import read_lines, split_lines

SOURCE = Path(__file__).resolve().parent.parent.parent / "src"
ENDS = ["", "\n", "a", "a\n", "a\nb", "a\r\nb\r\n", "\n\na\n\n", "a\rb\r"]
ENDS += [f"a{end}b\n" for end in "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"]


@pytest.mark.parametrize("text", ENDS)
def test_a_text_has_the_lines_of_a_file_with_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(text.encode())
    assert split_lines(text) == list(read_lines(file))
    assert len(split_lines(text)) == text.count("\n") + (text[-1:] not in ("", "\n"))


def test_splitlines_is_used_nowhere() -> None:
    """It cuts sentences at U+2028, U+0085 and form feeds, which are no ends of lines here."""
    found = [
        f"{file}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "splitlines"
    ]
    assert not found, "use qkv.data.lines.split_lines, or split at the line feed"
