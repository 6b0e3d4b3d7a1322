"""What an installation without extras does, and what the package says of its extras and licences."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement
from PIL import Image

from qkv.errors import EXTRAS, missing_extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    """The packages of requirements, those of the extras that they name among them."""
    found = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "qkv":
            for extra in requirement.extras:
                found |= names(PROJECT["optional-dependencies"][extra])
        else:
            found.add(requirement.name)
    return found


WITHOUT_EXTRAS = """
import json, sys

absent = set(json.loads(sys.argv[1]))


class Absent:
    # The packages are not there, as in an installation without extras.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent and path is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())

import importlib
from PIL import Image
import qkv
from qkv.cli.main import main
from qkv.systems.registry import systems


def run(*words):
    sys.argv = ["qkv", *words]
    try:
        main()
    except SystemExit as end:
        print(f"{words[0]} exits {end.code}", flush=True)


Image.new("L", (28, 28), 90).save("picture.png")
run("translate", "--from", "en", "--to", "de", "Two dogs are playing in the snow.")
run("classify", "fashion-mnist", "picture.png")
run("draw", "fashion-draw", "a bag")
for system in systems():
    for verb in system.verbs:
        system.function(verb)  # so that --help works
run("eval", "fashion-mnist", ".")
run("explain", "fashion-mnist", "picture.png")
run("eval", "multi30k", "--src", "a.en", "--ref", "a.de", "--from", "en", "--to", "de")
"""


def test_an_installation_without_extras_translates_classifies_and_draws(tmp_path: Path) -> None:
    optional = {package for extra in PROJECT["optional-dependencies"].values() for package in names(extra)}
    code = ["-W", "error", "-c", WITHOUT_EXTRAS, json.dumps(sorted(optional - names(PROJECT["dependencies"])))]
    done = subprocess.run([sys.executable, *code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Zwei Hunde spielen im Schnee.\ntranslate exits 0\npicture.png: ")
    assert re.findall(r"^(\w+) exits (\d)$", done.stdout, re.MULTILINE) == [
        ("translate", "0"),
        ("classify", "0"),
        ("draw", "0"),
        ("eval", "1"),
        ("explain", "1"),
        ("eval", "1"),
    ]
    with Image.open(tmp_path / "drawing.png") as drawing:
        assert min(drawing.size) > 90
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [re.findall(r"needs (\w+), .*'qkv\[(\w+)\]'$", line) for line in errors] == [
        [("pyarrow", "train")],
        [("matplotlib", "explain")],
        [("sacrebleu", "train")],
    ]
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named_and_brings_the_package() -> None:
    for package, (_, extra) in EXTRAS.items():
        assert package in names(PROJECT["optional-dependencies"][extra])
        assert package not in names(PROJECT["dependencies"])
        message = str(missing_extra(ModuleNotFoundError("No module", name=f"{package}.part")))
        assert f"needs {package}, which is not installed: pip install 'qkv[{extra}]'" in message
    assert names(PROJECT["optional-dependencies"]["all"]) == EXTRAS.keys()


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'torch'", name="torch"), ImportError("broken", name="pyarrow")]
)
def test_an_error_of_another_import_is_left_as_it_is(error: ImportError) -> None:
    with pytest.raises(type(error)) as raised:
        missing_extra(error)
    assert raised.value is error


def test_the_licence_names_what_is_bundled() -> None:
    expression = PROJECT["license"]
    assert canonicalize_license_expression(expression) == expression
    licences = set(expression.split(" AND "))
    files = {file for pattern in PROJECT["license-files"] for file in ROOT.glob(pattern)}
    assert licences - {"Apache-2.0", "OFL-1.1"} == {file.stem for file in files if file.parent.name == "LICENSES"}
    assert {ROOT / "LICENSE", ROOT / "src/qkv/figures/typeface/OFL.txt"} <= files
    for card in (ROOT / "src/qkv/pretrained").glob("*/README.md"):
        (licence,) = re.findall(r"^- Licence: ([^,\n]+)", card.read_text(), re.MULTILINE)
        reference = ROOT / "LICENSES/LicenseRef-Multi30k.txt"
        assert licence in licences or licence.lower() in reference.read_text().lower()
