"""Every dependency has its reason in the documentation and its exact version in constraints.txt."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(name for extra in PROJECT["optional-dependencies"].values() for name in extra),
]
NAMES = {re.split(r"[\[<>=]", requirement)[0].replace("_", "-") for requirement in REQUIREMENTS} - {"qkv"}  # its extras


def test_each_has_a_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").replace("_", "-")
    assert {name for name in NAMES if not re.search(rf"^\|[^|]*\b{name}\b", page, re.M)} == set()


def test_each_is_pinned() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").replace("_", "-")
    assert {name for name in NAMES if not re.search(rf"^{name}==", pinned, re.M | re.I)} == set()
