"""What a model of pictures is measured on: which pictures and captions are taken, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qkv.config import parse
from qkv.data.captions.data import CaptionDataConfig
from qkv.data.captions.evaluation import (
    EvaluationData,
    open_captioned_pictures,
    open_pictures,
    split_captioned_pictures,
    split_pictures,
)
from qkv.data.pictures.data import ImageDataConfig
from qkv.data.pictures.listing import EvenSample, PictureList
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError
from qkv.reporter import Reporter

GREY = Preprocessing(size=4, channels=1, mean=(0.0,), std=(1.0,))
CONSOLE = Reporter()


def write(folder: Path, captions: dict[int, str]) -> Path:
    """Pictures of their own brightness, with captions beside them if there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in captions.items():
        Image.new("L", (5, 4), number).save(folder / f"{number:03}.png")
        if text:
            (folder / f"{number:03}.txt").write_text(text)
    return folder


def brightness(pictures: PictureList | None) -> list[int]:
    assert pictures is not None
    return [int(pictures.pixels(index, GREY)[0, 0, 0]) for index in range(len(pictures))]


def captioned(tmp_path: Path, **fields) -> EvaluationData:
    config = parse(CaptionDataConfig, fields, "test")
    return split_captioned_pictures(config, tmp_path / "cache", 1, CONSOLE)


def test_captions_of_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {3: "one\ntwo\n", 5: "two\n\nthree", 7: "", 9: "  one "})
    data = open_captioned_pictures(folder, tmp_path / "cache", CONSOLE)
    prompts = [(prompt.text, prompt.label, prompt.picture) for prompt in data.prompts]
    assert prompts == [("one", None, 0), ("two", None, 0), ("three", None, 1)]
    assert data.left_out == (f"{folder / '007.txt'} does not exist: check the path",)
    assert brightness(data.pictures) == [3, 5, 7, 9]
    assert data.train is None
    with pytest.raises(QkvError, match=r"no picture has a caption; the first: .*000.txt does not exist"):
        open_captioned_pictures(write(tmp_path / "b", {0: ""}), tmp_path / "cache", CONSOLE)


def test_labels_stay_with_the_captions_that_are_made_of_them(tmp_path: Path) -> None:
    for label, first in (("Ankle boot", 10), ("Bag", 50)):
        write(tmp_path / "train" / label, dict.fromkeys(range(first, first + 6), ""))
        write(tmp_path / "test" / label, dict.fromkeys(range(first + 100, first + 103), ""))
    more = {"templates": ["{label}", "a photo of {label}"], "names": {"Bag": "a bag"}}
    train, test = ({"labelled": {"folder": str(tmp_path / part)}, **more} for part in ("train", "test"))
    data = captioned(tmp_path, train=[train], validation=[test])
    assert {(prompt.text, prompt.label) for prompt in data.prompts} == {
        ("Ankle boot", "Ankle boot"),
        ("a photo of Ankle boot", "Ankle boot"),
        ("a bag", "Bag"),
        ("a photo of a bag", "Bag"),
    }
    assert [prompt.picture for prompt in data.prompts] == [0, 0, 3, 3]
    assert brightness(data.pictures) == [110, 111, 112, 150, 151, 152]
    assert brightness(data.train) == [*range(10, 16), *range(50, 56)]


def test_held_out_pictures_are_those_that_training_holds_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {number: f"number {number}" for number in range(40)})
    data = captioned(tmp_path, train=[{"folder": str(folder)}], holdout=0.2)
    held_out, train = set(brightness(data.pictures)), set(brightness(data.train))
    assert (len(held_out | train), held_out & train) == (40, set())
    assert 2 <= len(held_out) <= 15
    assert {prompt.text for prompt in data.prompts} == {f"number {number}" for number in held_out}
    config = parse(ImageDataConfig, {"train": [{"folder": str(folder)}], "holdout": 0.2}, "test")
    plain = split_pictures(config, tmp_path / "other", 1, CONSOLE)
    held_out, train = set(brightness(plain.pictures)), set(brightness(plain.train))
    assert (len(held_out), len(train), held_out & train) == (8, 32, set())


def test_pictures_without_captions(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", dict.fromkeys((3, 4), ""))
    assert brightness(open_pictures(folder, tmp_path / "cache", CONSOLE).pictures) == [3, 4]
    table = tmp_path / "a" / "t.jsonl"
    table.write_text('{"image": "004.png", "caption": "x"}\n')
    assert brightness(open_pictures(table, tmp_path / "cache", CONSOLE).pictures) == [4]
    with pytest.raises(QkvError, match="holds no pictures that can be used here"):
        open_pictures(tmp_path / "none", tmp_path / "cache", CONSOLE)


def test_what_cannot_be_read_is_told_and_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", dict.fromkeys(range(5), ""))
    for number in (1, 2, 3):
        (folder / f"{number:03}.png").write_bytes(b"no picture")
    batches = list(open_pictures(folder, tmp_path / "cache", CONSOLE).pictures.batches(GREY, at_once=2))
    assert [batch.numbers for batch in batches] == [[0], [], [4]]
    assert [batch.pixels[:, 0, 0, 0].tolist() for batch in batches] == [[0], [], [4]]
    assert [len(batch.unreadable) for batch in batches] == [1, 2, 0]
    assert str(folder / "001.png") in batches[0].unreadable[0]


@pytest.mark.parametrize(("total", "count"), [(10, 3), (10, 10), (3, 9), (1, 1), (7, 0)])
def test_a_sample_is_even_however_it_comes_by(total: int, count: int) -> None:
    for size in (1, 3, total):
        sample, chosen = EvenSample(total, count), []
        for start in range(0, total, size):
            numbers = list(range(start, min(start + size, total)))
            chosen += [numbers[row] for row in sample.rows(numbers)]
        assert chosen == np.linspace(0, total - 1, min(count, total)).astype(int).tolist()
    lucky = EvenSample(10, 2)
    assert lucky.rows([4, 5]) == [0]  # in the place of 0, which cannot be read
