"""`qkv train` without a recipe on captioned pictures: codes, a painter, a scorer, pictures; and what it refuses."""

import json
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qkv

STEPS = [f"--set=training.{field}" for field in ("max_steps=2", "warmup=1", "validate_every=1")]
CODES = ["--set=model.width=4", "--set=model.codes=8", "--set=model.blocks=1", *STEPS]
SIZES = ("d_model=16", "d_ff=16", "n_heads=2", "n_layers=1")
SMALL = [f"--set=model.{field}" for field in SIZES] + STEPS
ENCODERS = [f"--set=model.{part}.{field}" for part in ("image", "text") for field in SIZES] + STEPS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Red and blue pictures with two captions each."""
    (tmp_path / "pictures" / "more").mkdir(parents=True)
    for number in range(24):
        colour, name = ((200, 30, 30), "red") if number % 2 else ((30, 30, 200), "blue")
        pixels = np.full((28, 28, 3), colour, np.uint8) + np.uint8(number)
        file = tmp_path / "pictures" / ("more" if number % 3 else "") / f"{number}.png"
        Image.fromarray(pixels).save(file)
        file.with_suffix(".txt").write_text(f"a {name} picture\nall {name}, and nothing else\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_from_a_folder_to_pictures(folder: Path, qkv_command) -> None:
    first = qkv_command("train", "pictures", "--system", "codes", "--out", "codes", *CODES)
    assert first.status == 0, first.err
    assert "24 pictures, mostly 28 pixels wide or high: read at 28 x 28 pixels, 7 x 7 codes of 8, 2 steps" in first.err
    then = "qkv train pictures --system painter --codes codes"
    assert f"once each picture has captions: {then}\n" in first.err
    second = qkv_command(*then.split()[1:], "--out", "painter", *SMALL)
    assert second.status == 0, second.err
    assert "24 pictures, 7 x 7 codes each: captions of up to 16 tokens" in second.err
    assert 'when this is done: qkv draw painter "A CAPTION"\n' in second.err
    drawn = qkv_command("draw", "painter", "a red picture", "-n", 2)
    assert drawn.status == 0, drawn.err
    assert (folder / "drawing.png").exists()
    tuned = qkv_command(*then.split()[1:], "--initial", "painter", "--out", "tuned", *STEPS)
    assert tuned.status == 0, tuned.err
    other = qkv_command("train", "pictures", "--system", "codes", "--out", "others", "--set=seed=2", *CODES)
    assert other.status == 0, other.err

    for arguments, said in (
        (
            ("pictures", "--system", "painter"),
            "a painter needs --codes, the codes that it draws with; train them first: "
            "qkv train pictures --system codes --out CODES",
        ),
        (("pictures", "--system", "dalle", "--codes", "nowhere"), "there is no model 'nowhere'"),
        (("pictures", "--system", "dalle", "--codes", "painter"), "painter is a painter, which cannot make codes of"),
        (
            ("pictures", "--system", "painter", "--codes", "codes", "--set", "codes=painter"),
            "painter/model is a painter, not a discrete VAE",
        ),
        (("pictures", "--data", "pictures", "--system", "codes"), "name one folder or file of pictures, not pictures"),
        (("pictures", "--system", "dall-e"), "--system: system is 'dall-e'; choose from classifier, codes, painter"),
        (("pictures",), "train them first: qkv train pictures --system codes --out CODES"),
        (("codes", "--codes", "codes"), "goes on as it began"),
        (("none", "--system", "codes"), "none holds no"),
        (("none", "--system", "dalle", "--codes", "codes"), "none holds no captioned pictures"),
        (("codes/data", "--system", "dalle", "--codes", "codes"), "codes/data"),
        (
            ("pictures", "--system", "dalle", "--codes", "codes", "--initial", "codes"),
            "is a discrete VAE, not a painter",
        ),
        (
            ("pictures", "--system", "dalle", "--codes", "others", "--initial", "painter"),
            "others is not the discrete VAE that new/initial draws with: choose that one "
            "(new/initial is the run's copy of painter, which it starts from)",
        ),
        (("pictures", "--system", "clip", "--initial", "codes"), "is a discrete VAE, not a scorer"),
    ):
        done = qkv_command("train", *arguments, "--out", "new", *STEPS)
        last = done.err.strip().splitlines()[-1]
        assert done.status == 1 and last.startswith("error: ") and said in last, (arguments, done.err)
        assert not (folder / "new" / "recipe.yaml").exists()

    (folder / "tuned" / "initial" / "model.safetensors").write_bytes(b"cut short")
    done = qkv_command("train", "tuned")
    assert done.status == 1 and "(tuned/initial is the run's copy of painter, which it starts from)" in done.err


def test_pictures_without_captions_are_refused(folder: Path, qkv_command) -> None:
    for file in (folder / "pictures").rglob("*.txt"):
        file.unlink()
    assert qkv_command("train", "pictures", "--system", "dvae", "--out", "codes", *CODES).status == 0
    done = qkv_command("train", "pictures", "--system", "dalle", "--codes", "codes", "--out", "painter")
    assert done.status == 1
    assert "error: pictures: no picture has a caption; the last tried: pictures/" in done.err


def test_from_a_folder_to_a_scorer(folder: Path, qkv_command) -> None:
    done = qkv_command("train", "pictures", "--system", "clip", *ENCODERS)
    assert done.status == 0, done.err
    said = (
        "24 pictures, mostly 28 pixels wide or high: read at 28 x 28 pixels, 1 layers of width 16; captions of up to 16"
    )
    assert said in done.err
    assert 'qkv draw PAINTER "A CAPTION" -n 16 --scorer runs/pictures-scorer\n' in done.err
    scorer = qkv.load("runs/pictures-scorer")
    assert scorer.score([folder / "pictures" / "0.png"], ["a red picture", "blue"]).shape == (1, 2)
    tuned = qkv_command("train", "pictures", "--system", "clip", "--initial", "runs/pictures-scorer", *STEPS)
    assert tuned.status == 1 and "is a run already" in tuned.err
    options = ("--initial", "runs/pictures-scorer", "--out", "tuned", *STEPS)
    tuned = qkv_command("train", "pictures", "--system", "clip", *options)
    assert tuned.status == 0, tuned.err


def test_shards_of_pictures_become_codes(folder: Path, qkv_command) -> None:
    with tarfile.open("shard.tar", "w") as shard:
        for file in sorted((folder / "pictures").rglob("*.*")):
            shard.add(file, file.name)
        (folder / "broken.png").write_text("no picture")
        shard.add("broken.png")
    done = qkv_command("train", "shard.tar", "--system", "dvae", "--out", "codes", *CODES)
    assert done.status == 0, done.err
    assert "25 pictures, mostly 28 pixels wide or high" in done.err
    assert "left out, 1 in all: shard.tar, sample broken is not a picture" in done.err
    measured = qkv_command("eval", "codes", "shard.tar", "--json")
    assert measured.status == 0, measured.err
    assert json.loads(measured.out)["pictures"] == 24
    painter = qkv_command("train", "shard.tar", "--system", "dalle", "--codes", "codes", *SMALL)
    assert painter.status == 0, painter.err
    done = qkv_command("train", "shard.tar", "--system", "vit", "--out", "vit")
    assert done.status == 1 and "error: shard.tar: shards tell no classes here: give a folder of" in done.err


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_column_that_is_called_something_else_is_named(kind: str, folder: Path, qkv_command) -> None:
    rows = [{"file": f"pictures/{number}.png", "text": f"number {number}"} for number in range(0, 24, 3)]
    lines = ["file,text", *(f"{row['file']},{row['text']}" for row in rows)] if kind == "csv" else map(json.dumps, rows)
    table = Path(f"my {kind}, a table.{kind}")
    table.write_text("\n".join(lines) + "\n")
    what = "column" if kind == "csv" else "key"
    command, first = ("train", table, "--system", "clip", "--out", "run", *ENCODERS), ()
    for column, field, right in (("caption", "captions", "text"), ("image", "image_column", "file")):
        refused = qkv_command(*command, *first)
        assert refused.status == 1
        assert f"error: {table} has no {what} {column!r}, but file, text: name the one that" in refused.err
        option, value = shlex.split(refused.err.split(", with ")[1])  # as a shell would read what is shown
        assert f"{field}: COLUMN" in value
        first = (option, value.replace("COLUMN", right))
    done = qkv_command(*command, *first)
    assert done.status == 0, done.err
    assert "8 pictures" in done.err


def test_warnings_of_several_processes_are_said_once(folder: Path, qkv) -> None:
    options = ("--set=model.text.text_length=3", "--set=data.text_length=3", *ENCODERS)
    command = ("train", "pictures", "--system", "clip", "--out", "run", *options, "--processes", 2)
    done = qkv(*command, folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("have more than text_length (3) tokens and are cut") == 1
