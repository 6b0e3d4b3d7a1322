"""`qkv eval` of painters and discrete VAEs: what it prints and draws, which data it takes, and what it refuses."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qkv
from tiny import tiny_translator
from tiny_codes import tiny_codes
from tiny_painter import tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import LABELS, tiny_vit

RECIPE = """
system: dalle
codes: nowhere
data:
  train:
    - labelled: {folder: FOLDER/train}
      templates: ["{label}", "a {label}"]
  validation:
    - labelled: {folder: FOLDER/test}
      templates: ["{label}", "a {label}"]
  text_length: 12
model: {text_length: 12, grid: 4}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, pictures with captions, pictures in class folders, and recipes that name both."""
    place, draw = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for name, make in (
        ("painter", tiny_painter),
        ("codes", tiny_codes),
        ("vit", tiny_vit),
        ("clip", tiny_scorer),
        ("translator", tiny_translator),
    ):
        make(place / name)
    for part, number in [("train", 4), ("test", 2)]:
        for label in LABELS:
            (place / part / label).mkdir(parents=True)
            for i in range(number):
                Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(place / part / label / f"{i}.png")
    (place / "captioned").mkdir()
    for i in range(6):
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(place / "captioned" / f"{i}.png")
        (place / "captioned" / f"{i}.txt").write_text(f"the {LABELS[i % 3]}\n" + f"number {i}\n" * (i == 5))
    with tarfile.open(place / "captioned.tar", "w") as shard:
        for file in sorted((place / "captioned").iterdir()):
            shard.add(file, file.name)
    (place / "draw.yaml").write_text(RECIPE.replace("FOLDER", str(place)))
    (place / "codes.yaml").write_text(f"system: dvae\ndata: {{train: [{{folder: {place / 'captioned'}}}]}}\n")
    (place / "shards.yaml").write_text(f"system: dvae\ndata: {{train: [{{shards: {place / '*.tar'}}}]}}\n")
    (place / "words.yaml").write_text("system: translator\ndata: {train: [{table: x.tsv, columns: [en, de]}]}\n")
    (place / "run").mkdir()
    (place / "run" / "recipe.yaml").write_text((place / "codes.yaml").read_text())
    return place


def test_a_recipe_gives_captions_classes_and_training_pictures(qkv_command, place: Path, tmp_path: Path) -> None:
    grid = tmp_path / "new" / "grid.png"
    options = ("-n", 3, "--judge", place / "vit", "--seed", 2, "--top-k", 5, "--guidance", 1.5)
    done = qkv_command("eval", place / "painter", place / "draw.yaml", *options, "--grid", grid, "--json")
    assert (done.status, done.err) == (0, "")
    result = json.loads(done.out)
    assert (result["captions"], result["pictures"], result["reconstruction"]["pictures"]) == (6, 18, 6)
    assert result["nearest"]["train"] == 12
    assert result["options"] == {"n": 3, "seed": 2, "top_k": 5, "guidance": 1.5}
    assert (result["fid"], result["fid_features"]) == (None, None)
    captions = [text for label in LABELS for text in (label, f"a {label}")]
    drawn = qkv.load(place / "painter").draw(captions, n=3, seed=2, top_k=5, guidance=1.5)
    judge = qkv.load(place / "vit")
    read = [judge.classify(image)[0].label == LABELS[number // 2] for number, row in enumerate(drawn) for image in row]
    assert result["fidelity"]["share"] == pytest.approx(sum(read) / 18)
    assert [row["label"] for row in result["fidelity"]["classes"]] == LABELS

    sheet = np.asarray(Image.open(grid).convert("RGB"))
    real = [Image.open(place / "test" / label / "0.png") for label in LABELS]
    for number, row in enumerate(drawn):
        for column, image in enumerate([real[number // 2], *row]):
            top, left = 6 + number * (96 + 6 + 26), 6 + column * (96 + 6)
            corner = sheet[top : top + 96, left : left + 96]
            assert (corner == np.asarray(image).repeat(12, 0).repeat(12, 1)).all()


def test_tables(qkv_command, place: Path) -> None:
    options = ("--limit", 3, "--judge", place / "vit", "--train", place / "train")
    done = qkv_command("eval", place / "painter", place / "captioned", *options)
    assert (done.status, done.err) == (0, "")
    words = ("3 captions, 12 pictures drawn", "6 real pictures, 12 training pictures", "codebook perplexity", "PSNR")
    words += ("to the nearest training picture, least", "two pictures of a caption", "cow")
    words += ("no FID: it needs 2,000 pictures: there are 12 drawn and 6 real ones", "class of the caption is read")
    assert [word for word in words if word not in done.out] == []
    done = qkv_command("eval", place / "painter", place / "captioned", "-n", 1, "--limit", 1)
    assert (done.status, done.err) == (0, "")
    assert "no FID: it needs a judge" in done.out
    assert [word for word in ("nearest", "two pictures", "is read") if word in done.out] == []


def test_fields_of_a_recipe_are_replaced(qkv_command, place: Path) -> None:
    set_ = f"data.validation=[{{folder: {place / 'captioned'}}}]"
    done = qkv_command("eval", place / "painter", place / "draw.yaml", "-n", 1, "--set", set_, "--json")
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert (result["captions"], result["reconstruction"]["pictures"]) == (4, 6)
    assert (result["nearest"]["train"], result["fidelity"]) == (12, None)


def test_a_training_set_that_is_named_comes_before_that_of_the_recipe(qkv_command, place: Path) -> None:
    for train, number in ((place / "captioned", 6), (place / "draw.yaml", 12)):
        options = ("-n", 1, "--limit", 1, "--train", train, "--json")
        done = qkv_command("eval", place / "painter", place / "draw.yaml", *options)
        assert json.loads(done.out)["nearest"]["train"] == number


@pytest.mark.parametrize(
    ("data", "pictures"),
    [
        ("test", 6),
        ("captioned", 6),
        ("captioned.tar", 6),
        ("draw.yaml", 6),
        ("codes.yaml", 1),
        ("shards.yaml", 1),
        ("run", 1),
    ],
)
def test_a_discrete_vae(qkv_command, place: Path, tmp_path: Path, data: str, pictures: int) -> None:
    grid = tmp_path / "grid.png"
    done = qkv_command("eval", place / "codes", place / data, "--grid", grid)
    assert (done.status, done.err) == (0, "")
    words = (f", {pictures} pictures\n", "PSNR", "SSIM", "codebook use", "of 9 codes", "codebook perplexity")
    assert [word for word in words if word not in done.out] == []
    with Image.open(grid) as sheet:
        assert sheet.size == (96 * pictures, 96 * 2)
    result = json.loads(qkv_command("eval", place / "codes", place / data, "--json").out)
    assert result["pictures"] == pictures
    assert f"{result['psnr']:.2f} dB" in done.out


def test_what_is_left_out_is_told(qkv_command, place: Path, tmp_path: Path) -> None:
    for name, content in (("good.txt", b"a bird\n" + b"bird " * 2000), ("bad.png", b"no picture"), ("bad.txt", b"x")):
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    done = qkv_command("eval", place / "painter", tmp_path, "-n", 1, "--json")
    assert done.status == 0
    lines = done.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("left out: ") for line in lines)
    assert "tokens, the model reads 1 to 12" in lines[0]
    assert "bad.png is not a picture" in lines[1]
    assert json.loads(done.out)["captions"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("painter", "none"), "none does not exist: check the path"),
        (("codes", "none.png"), "none.png does not exist: check the path"),
        (("painter", "test"), "no picture has a caption; the first: "),
        (
            ("painter", "codes.yaml"),
            "is a recipe of a discrete VAE, which is trained on no captioned pictures: give one that is",
        ),
        (("codes", "words.yaml"), "is a recipe of a translator, which is trained on no pictures: give one that is"),
        (("painter", "captioned", "--set", "seed=2"), "--set replaces fields of a recipe, and"),
        (("painter", "draw.yaml", "--set", "data.trian=[]"), "did you mean 'train'?"),
        (("painter", "captioned", "--judge", "clip"), "which cannot judge what pictures show: give a classifier"),
        (("painter", "captioned", "--judge", "vit"), "'number 5' must name exactly one label of the classifier"),
        (("painter", "captioned", "--temperature", "0"), "temperature must be a number above 0"),
        (("painter", "captioned", "--grid", "x.jpg"), "must end in .png"),
        (("painter", "captioned", "--train", "none"), "none does not exist: check the path"),
        (("clip", "test"), "is a scorer, which cannot be measured: use `qkv draw --scorer`"),
    ],
)
def test_what_is_refused(qkv_command, place: Path, arguments: tuple[str, ...], said: str) -> None:
    there = {path.name for path in place.iterdir()} | {"none", "none.png"}
    done = qkv_command("eval", *(place / word if word in there else word for word in arguments))
    assert (done.status, done.out) == (1, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("painter",), "Missing argument"),
        (("codes",), "Missing argument"),
        (("painter", "captioned", "--beam-size", "2"), "No such option: --beam-size"),
        (("codes", "test", "--judge", "vit"), "No such option: --judge"),
        (("codes", "test", "-n", "2"), "No such option: -n"),
        (("vit", "test", "--grid", "x.png"), "No such option: --grid"),
    ],
)
def test_each_system_has_options_of_its_own(qkv_command, place: Path, arguments: tuple[str, ...], said: str) -> None:
    done = qkv_command("eval", *(place / word if (place / word).exists() else word for word in arguments))
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
