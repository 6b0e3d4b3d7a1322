import subprocess
import sys
from importlib.metadata import version

import qkv
from qkv import model_directory


def test_version_and_help(qkv_command):
    assert qkv_command("--version").out == f"{version('qkv')}\n"
    assert qkv.__version__ == version("qkv")
    for arguments in ([], ["--help"], ["translate", "--help"]):
        done = qkv_command(*arguments)
        assert done.status == 0
        assert "one line out" in " ".join(done.out.replace("│", " ").split())


def test_importing_the_command_does_not_import_pytorch():
    code = "import sys, qkv, qkv.cli.main; assert not {'torch', 'datasets', 'matplotlib'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_unknown_verb_is_one_line(qkv_command):
    done = qkv_command("tranlsate")
    assert done.status == 2
    assert done.err.startswith("error: No such command 'tranlsate'") and done.err.count("\n") == 1


def test_models(qkv_command, model_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(model_directory, "bundled_models", lambda: {"tiny": model_folder})
    done = qkv_command("models")
    parameters = sum(p.numel() for p in qkv.load(model_folder).model.parameters())
    row = next(line for line in done.lines if "tiny" in line)
    assert all(word in row for word in ("translator", "de, en, fr", f"{parameters:,}", "MiB", "none needed"))
    monkeypatch.setattr(model_directory, "bundled_models", dict)
    assert qkv_command("models").lines == ["no bundled models"]
