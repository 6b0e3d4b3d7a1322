"""What `qkv train DATA` takes pictures for, from a look: which systems know them, and what they call them."""

import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from qkv.systems.registry import systems


def who_knows(*data: Path, **options: str) -> dict[str, str]:
    found = {system.name: system.part("suggest").recognise(data, options) for system in systems()}
    return {name: said for name, said in found.items() if said}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("plain/a.png", "deep/more/a.png", "captioned/more/a.png", "apart/a.png", "classes/x/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "classes" / "y").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "classes" / "y" / "1.png")
    (tmp_path / "captioned" / "more" / "a.txt").write_text("a bird\n")
    (tmp_path / "apart" / "b.txt").write_text("of no picture\n")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("no picture\n")
    (tmp_path / "captions.csv").write_text("image,caption\nplain/a.png,a bird\n")
    (tmp_path / "images.csv").write_text("image,colour\nplain/a.png,red\n")
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": "plain/a.png", "caption": ["a bird"]}) + "\n")
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        shard.add(tmp_path / "plain" / "a.png", "a.png")
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("data", "known"),
    [
        ("plain", ["codes"]),
        ("deep", ["codes"]),
        ("captioned", ["painter", "codes", "scorer"]),
        ("apart", ["codes"]),
        ("classes", ["classifier", "codes"]),
        ("words", []),
        ("captions.csv", ["painter", "codes", "scorer"]),
        ("images.csv", ["codes"]),
        ("captions.jsonl", ["painter", "scorer"]),
        ("numbers.csv", []),
        ("shard.tar", ["painter", "codes", "scorer"]),
        ("t10k-images-idx3-ubyte.gz", ["classifier", "codes"]),
        ("none", []),
    ],
)
def test_pictures(place: Path, data: str, known: list[str]) -> None:
    assert list(who_knows(place / data)) == known


def test_options_say_more(place: Path) -> None:
    assert list(who_knows(place / "captioned", codes="runs/codes")) == ["painter"]
    assert list(who_knows(place / "plain", codes="runs/codes")) == []
    assert list(who_knows(place / "captioned", to="en")) == []
    assert who_knows(place / "captioned", place / "plain") == {}
