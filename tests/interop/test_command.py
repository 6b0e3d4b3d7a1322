"""`qkv import` on the command line; test_exporting.py runs `qkv export`."""

import sys
from pathlib import Path

import pytest

from interop.checkpoints import hugging_face_folder
from qkv.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["qkv", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    source, out = hugging_face_folder(tmp_path / "theirs"), tmp_path / "models" / "ours"
    capfd.readouterr()
    assert run(monkeypatch, "import", source, "--out", out) == 0
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith(f"{source}: Hugging Face ViT, ") and lines[0].endswith(" parameters, 5 classes")
    assert lines[1] == "licence: apache-2.0"
    assert lines[2].startswith("parity: logits differ from transformers ")
    assert lines[3] == f"saved: {out}"
    assert printed.err == ""  # none of the other library's progress bars and remarks
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_import_fails_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "import", tmp_path, "--out", tmp_path / "ours") == 1
    assert capfd.readouterr() == ("", f"error: {tmp_path} is no checkpoint: it has no config.json\n")
