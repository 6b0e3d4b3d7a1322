"""Recipes in the repository and in the documentation are valid."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from qkv.config import parse
from qkv.data.captions.data import CaptionDataConfig
from qkv.data.captions.sources import CaptionSource
from qkv.data.parallel.config import CorpusConfig, DataConfig
from qkv.systems.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(yaml.safe_load(block), id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.mark.parametrize("data", BLOCKS)
def test_yaml_in_the_documentation(data: dict) -> None:
    if "system" in data:
        Recipe.from_mapping(data, "the page")
    else:
        kinds = (DataConfig, CorpusConfig, CaptionDataConfig, CaptionSource)
        [kind, *_] = [kind for kind in kinds if data.keys() <= {field.name for field in fields(kind)}]
        parse(kind, data, "the page")


def test_recipes_are_complete_when_read_again(tmp_path: Path) -> None:
    for recipe in (ROOT / "recipes").glob("*.yaml"):
        first = Recipe.read(recipe)
        first.write(tmp_path / recipe.name)
        assert Recipe.read(tmp_path / recipe.name) == first
