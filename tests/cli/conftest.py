import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qkv.cli.main import main
from tiny import tiny_translator


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        assert self.out.endswith("\n") or not self.out
        return self.out.split("\n")[:-1]


class Program:
    """`qkv` in a process of its own, as from a shell in that folder."""

    def __call__(self, *arguments: object, folder: Path, **files: Any) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; `files` are those that it is to have for its standard ones."""
        files = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **files}
        return subprocess.run(**self._call(arguments, folder), **files, text=True)

    def start(self, *arguments: object, folder: Path) -> subprocess.Popen[Any]:
        """Leaves it running; what it says is lost."""
        return subprocess.Popen(**self._call(arguments, folder), stderr=subprocess.DEVNULL)

    def _call(self, arguments: tuple[object, ...], folder: Path) -> dict[str, Any]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return {"args": [sys.executable, "-m", "qkv", *map(str, arguments)], "cwd": folder, "env": environment}


@pytest.fixture(scope="session")
def qkv() -> Program:
    return Program()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    return tiny_translator(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to work in, of the folder that a module's fixture `made` fills."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def qkv_command(monkeypatch, capsysbinary):
    """Runs `qkv ARGUMENTS` in this process, to its exit status."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["qkv", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsysbinary.readouterr()
        assert isinstance(exit_.value.code, int)
        return Result(exit_.value.code, out.decode(), err.decode())

    return run
