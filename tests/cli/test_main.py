import io
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

import qkv
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.model_directory import bundled_models, save_model
from qkv.models.dvae import DVAEConfig
from qkv.reporter import Table
from qkv.systems.codes.saved import Saved
from qkv.terminal.reporter import show_table
from tiny_painter import tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import tiny_vit


def test_version_and_help(qkv_command):
    assert qkv_command("--version").out == f"{version('qkv')}\n"
    assert qkv.__version__ == version("qkv")
    for arguments in ([], ["--help"], ["translate", "--help"]):
        done = qkv_command(*arguments)
        assert done.status == 0
        assert "one line out" in " ".join(done.out.replace("│", " ").split())


def test_importing_the_command_does_not_import_pytorch():
    code = "import sys, qkv, qkv.cli.main; assert not {'torch', 'pyarrow', 'matplotlib'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_unknown_verb_is_one_line(qkv_command):
    done = qkv_command("tranlsate")
    assert done.status == 2
    assert done.err.startswith("error: No such command 'tranlsate'") and done.err.count("\n") == 1


def test_models_of_every_system_say_what_they_know(qkv_command, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    folders = {"vit": tiny_vit(tmp_path / "vit"), "dalle": tiny_painter(tmp_path / "dalle")}
    folders |= {"clip": tiny_scorer(tmp_path / "clip"), "dvae": tmp_path / "dvae"}
    codes = DVAEConfig(image_size=4, codes=1234, d_code=2, width=2, downsamplings=1, blocks=1)
    preprocessing = Preprocessing(size=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    save_model(folders["dvae"], Saved(model=codes, preprocessing=preprocessing), {}, {})
    config = json.loads((folders["dalle"] / "config.json").read_text())
    (folders["dalle"] / "config.json").write_text(json.dumps({**config, "languages": ["en", "ko", "de"]}))
    monkeypatch.setattr("qkv.cli.models.bundled_models", lambda: folders)
    done = qkv_command("models")
    assert done.status == 0, done.err
    knows = {
        "vit classifier": "3 classes",
        "dalle painter": "captions: en, ko, de",
        "clip scorer": "captions",
        "dvae codes": "1,234 codes",
    }
    rows = [" ".join(line.split()) for line in done.lines]
    assert all(any(row.startswith(f"{name} {known} ") for row in rows) for name, known in knows.items()), done.out


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_table_loses_no_word_and_no_number(monkeypatch, terminal, width):
    name, number = "a-model-with-a-long-name-to-type", "1,234,567,890"
    words = "some words andoneverylongwordamongthem" * 3
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, color_system=None, width=width)
    show_table(console, Table(("name", "knows", "parameters"), [(name, words, number)]))
    shown = file.getvalue()
    assert name in shown and number in shown and "…" not in shown
    cells = "".join(line[len(name) : -len(number) - 1] for line in shown.splitlines()[1:])
    assert "".join(cells.split()) == "".join(words.split())


def test_models_as_json_and_in_a_narrow_window(qkv_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    listed, shown = json.loads(qkv_command("models", "--json").out), qkv_command("models").lines
    assert [one["name"] for one in listed] == [line.split()[0] for line in shown[1:]] == list(bundled_models())
    for one, line in zip(listed, shown[1:], strict=True):
        assert one["knows"] in line and f"{one['parameters']:,}" in line and line.rstrip().endswith(one["licence"])
        weights = load_file(Path(one["folder"], "model.safetensors"))
        assert one["parameters"] == sum(weight.numel() for weight in weights.values())
        assert one["bytes"] == sum(path.stat().st_size for path in Path(one["folder"]).iterdir())


def test_models(qkv_command, model_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("qkv.cli.models.bundled_models", lambda: {"tiny": model_folder})
    done = qkv_command("models")
    parameters = sum(p.numel() for p in qkv.load(model_folder).model.parameters())
    row = next(line for line in done.lines if "tiny" in line)
    assert all(word in row for word in ("translator", "de, en, fr", f"{parameters:,}", "MiB", "none needed"))
    monkeypatch.setattr("qkv.cli.models.bundled_models", dict)
    assert qkv_command("models").lines == ["no bundled models"]
