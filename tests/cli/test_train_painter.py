"""`qkv train` without a recipe on captioned pictures: codes, then a painter, then pictures; and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STEPS = [f"--set=training.{field}" for field in ("max_steps=2", "warmup=1", "validate_every=1")]
CODES = ["--set=model.width=4", "--set=model.codes=8", "--set=model.blocks=1", *STEPS]
SMALL = [f"--set=model.{field}" for field in ("d_model=16", "d_ff=16", "n_heads=2", "n_layers=1")] + STEPS


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
    first = qkv_command("train", "pictures", "--system", "dvae", "--out", "codes", *CODES)
    assert first.status == 0, first.err
    assert "24 pictures, mostly 28 pixels wide or high: read at 28 x 28 pixels, 7 x 7 codes of 256" in first.err
    then = "qkv train pictures --system dalle --codes codes"
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

    for arguments, said in (
        (
            ("pictures", "--system", "dalle"),
            "a painter needs --codes, the codes that it draws with; train them first: "
            "qkv train pictures --system dvae --out CODES",
        ),
        (("pictures", "--system", "dalle", "--codes", "nowhere"), "there is no model 'nowhere'"),
        (("pictures", "--system", "dalle", "--codes", "painter"), "painter is a painter, which cannot make codes of"),
        (("pictures", "--system", "dvae", "--codes", "codes"), "--codes is for --system dalle"),
        (
            ("pictures", "--system", "dvae", "--to", "en"),
            "--system dvae takes one folder of pictures, table or IDX file",
        ),
        (("pictures", "--system", "dall-e"), "choose from translator, vit, dvae, dalle"),
        (("pictures",), "to train codes and then a painter, --system dvae and then --system dalle"),
        (("codes", "--codes", "codes"), "goes on as it began"),
        (("none", "--system", "dvae"), "none holds no"),
        (("none", "--system", "dalle", "--codes", "codes"), "none holds no captioned pictures"),
        (("codes/data", "--system", "dalle", "--codes", "codes"), "codes/data"),
        (("pictures", "--system", "dalle", "--codes", "codes", "--initial", "codes"), "is a dvae, not a dalle"),
    ):
        done = qkv_command("train", *arguments, "--out", "new", *STEPS)
        last = done.err.strip().splitlines()[-1]
        assert done.status == 1 and last.startswith("error: ") and said in last, (arguments, done.err)
        assert not (folder / "new").exists()


def test_pictures_without_captions_are_refused(folder: Path, qkv_command) -> None:
    for file in (folder / "pictures").rglob("*.txt"):
        file.unlink()
    assert qkv_command("train", "pictures", "--system", "dvae", "--out", "codes", *CODES).status == 0
    done = qkv_command("train", "pictures", "--system", "dalle", "--codes", "codes", "--out", "painter")
    assert done.status == 1
    assert "error: pictures: no picture has a caption; the last tried: pictures/" in done.err
