"""Every system is a folder with the same files, and nothing else in the house knows its name."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import house
from qkv.errors import QkvError
from qkv.systems.registry import SYSTEMS, find_system, systems
from qkv.systems.system import System, Verb


@pytest.mark.parametrize("system", systems(), ids=lambda system: system.name)
def test_a_system_has_its_files_with_what_is_expected_in_them(system: System) -> None:
    assert list(house.faults_of(system)) == []


def test_what_a_system_lacks_is_found() -> None:
    system = find_system("classifier", "test")
    assert list(house.faults_of(replace(system, name="composer"))) == ["composer has no saved.py"]
    more = replace(system, verbs={**system.verbs, "sing": Verb("Sing.")})
    assert list(house.faults_of(more)) == ["classifier: verbs.py has no function for `qkv sing`"]


def test_nothing_else_names_a_system() -> None:
    assert house.who_names(systems()) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cli/train.py", "from qkv.systems.classifier.pipeline import Classifier"),
        ("runs/run.py", "import importlib\nimportlib.import_module('qkv.systems.painter.task')"),
        ("systems/scorer/task.py", "OTHERS = {'vit': 1}"),
        ("systems/recipe.py", "if system == 'translator':\n    pass"),
        ("terminal/output.py", "NAMES = ['codes']"),
    ],
)
def test_who_names_a_system_is_found(tmp_path: Path, file: str, line: str) -> None:
    source = tmp_path / "qkv"
    shutil.copytree(house.SOURCE, source, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    planted = source / file
    planted.write_text(f"{planted.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    [found] = house.who_names(systems(), source)
    assert found.startswith(f"{file}:")


def test_names_and_aliases_lead_to_one_system() -> None:
    assert [find_system(system.alias, "test") for system in systems()] == list(systems())
    assert [system.name for system in systems()] == list(SYSTEMS)
    words = [word for system in systems() for word in (system.name, system.alias)]
    assert len(set(words)) == len(words)
    with pytest.raises(QkvError, match=r"recipe.yaml: system is 'clasifier'; did you mean 'classifier'\?"):
        find_system("clasifier", "recipe.yaml")
