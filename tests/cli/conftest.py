import io
import sys
from dataclasses import dataclass
from pathlib import Path

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


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    return tiny_translator(tmp_path_factory.mktemp("tiny") / "model")


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
