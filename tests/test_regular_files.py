"""Pipes and devices in the place of files: every reader says so, and none waits for them."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from qkv.config import read_yaml
from qkv.data.captions.code_cache import PictureEncoder
from qkv.data.lines import read_lines
from qkv.data.pictures.decode import open_picture
from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.shards import Shards
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.tables import Table
from qkv.data.table import column_names, read_table, told_names
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.files import regular
from qkv.interop import source
from qkv.model_directory import read_config, read_weights
from qkv.reporter import SILENT


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes pipes by name; who opens one all the same finds it empty, and does not wait for ever."""
    made: list[tuple[Path, Thread]] = []

    def make(name: str) -> Path:
        path = tmp_path / name
        os.mkfifo(path)
        writer = Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))
        writer.start()
        made.append((path, writer))
        return path

    yield make
    for path, writer in made:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)


READERS: dict[str, Callable[[Path], object]] = {
    "a.png": lambda path: open_picture(path, 3),
    "a.txt": lambda path: list(read_lines(path)),
    "a.txt.gz": lambda path: list(read_lines(path)),
    "recipe.yaml": read_yaml,
    "a.csv": lambda path: read_table(path, ["image"]),
    "a.parquet": lambda path: read_table(path, ["image"]),
    "a.jsonl": lambda path: Table.open(path, ["image"], "image", None, None),
    "a.tar": lambda path: Shards.open([str(path)], path.parent, SILENT),
    "a-images-idx3-ubyte": lambda path: open_pictures(PictureSource.of(path), labelled=False),
    "a-images-idx3-ubyte.gz": lambda path: open_pictures(PictureSource.of(path), labelled=False),
    "tokenizer.model": Tokenizer.load,
    "config.json": lambda path: read_config(path.parent),
    "model.safetensors": lambda path: read_weights(path.parent),
    "preprocessor_config.json": source._read_json,
    "codes.safetensors": lambda path: PictureEncoder(lambda pixels: pixels, 2, path).digest,  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", READERS)
def test_pipes_and_devices_are_named(name: str, pipe: Callable[[str], Path], tmp_path: Path) -> None:
    path = pipe(name)
    with pytest.raises(QkvError, match=rf"^{path} is a pipe, not a file: write what it gives into a file"):
        READERS[name](path)
    path.rename(tmp_path / "kept")
    path.symlink_to("/dev/zero")
    try:
        with pytest.raises(QkvError, match=rf"^{path} is a device, not a file"):
            READERS[name](path)
    finally:
        (tmp_path / "kept").rename(path)


def test_looks_at_tables_find_nothing_in_pipes(pipe: Callable[[str], Path]) -> None:
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        path = pipe(name)
        assert column_names(path) == []
        if name == "a.parquet":
            with pytest.raises(QkvError, match="is a pipe"):
                told_names(path, "label")


def test_files_folders_and_what_is_missing_go_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link", ".", "missing", "nul\0"):
        assert regular(tmp_path / name) == tmp_path / name


def test_sockets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(QkvError, match="socket is a socket, not a file"):
            regular(Path("socket"))


_LINES = """
import sys
from pathlib import Path
from qkv.data.lines import read_lines
print(list(read_lines(Path(sys.argv[1]), streams=sys.argv[2] == "yes")))
"""


@pytest.mark.parametrize(("streams", "said"), [("yes", "['one', 'two']"), ("no", "is a pipe, not a file")])
def test_what_the_shell_has_opened_is_read_by_who_reads_once(streams: str, said: str) -> None:
    command = [sys.executable, "-c", _LINES, "/dev/stdin", streams]
    ran = subprocess.run(command, input="one\ntwo\n", capture_output=True, text=True)
    assert said in ran.stdout + ran.stderr


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkv.data.lines._LONGEST", 1000)
    file = tmp_path / "a.txt"
    file.write_bytes(b"short\n" + b"x" * 998 + b"\n" + b"x" * 5000)
    with pytest.raises(QkvError, match=r"a\.txt, line 3 is longer than 1,000 bytes: break it into lines"):
        list(read_lines(file))
