"""`qkv train`, `classify`, `eval` and `explain` on pictures, from the command line."""

import json
import os
import signal
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tiny_vit import tiny_vit

SMALL = [
    f"--set={field}"
    for field in (
        "model.d_model=16",
        "model.d_ff=16",
        "model.n_layers=1",
        "model.n_heads=2",
        "model.stem=[4,16]",
        "training.max_steps=14",
        "training.warmup=3",
        "training.ema=0",
        "training.validate_every=5",
    )
]


def huge_png(path: Path) -> None:
    """A file of a few bytes whose header claims 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def write_shapes(folder: Path, n: int = 30) -> None:
    """Colour pictures of several sizes: a bright half above, or a bright half below."""
    draw = np.random.default_rng(0)
    for i in range(n):
        side = 20 + i % 7
        pixels = draw.integers(0, 90, (side, side + i % 5, 3), dtype=np.uint8)
        pixels[: side // 2] += 160
        for name, array in (("above", pixels), ("below", pixels[::-1])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(array)).save(folder / name / f"{i}.png")


def test_a_folder_becomes_a_classifier_and_kill_9_changes_no_bit(tmp_path: Path, qkv) -> None:
    write_shapes(tmp_path / "shapes")
    (tmp_path / "shapes" / "above" / "broken.png").write_text("no picture")
    train = ("train", "shapes", "--system", "vit", "--set", "training.workers=2", *SMALL)
    whole = qkv(*train, "--out", "whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "61 pictures, mostly " in whole.stderr  # the sizes it picked, and why
    assert "broken.png is not a picture" in whole.stderr

    with qkv.start(*train, "--out", "killed", folder=tmp_path) as process:
        while not (tmp_path / "killed" / "checkpoints" / "step-00000005").exists():
            assert process.poll() is None, "training ended before step 5"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    again = qkv("train", "killed", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    first, second = (
        load_file(next((tmp_path / run / "checkpoints" / "step-00000014").glob("model*.safetensors")))
        for run in ("whole", "killed")
    )
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)

    scored = qkv("eval", "whole", "shapes", "--json", "--confusion", "confusion.png", folder=tmp_path)
    assert scored.returncode == 0, scored.stderr
    report = json.loads(scored.stdout)
    assert report["pictures"] == 60
    assert len(report["unreadable"]) == 1
    assert (tmp_path / "confusion.png").exists()
    shown = qkv("eval", "whole", "shapes", folder=tmp_path)
    assert f"accuracy {report['accuracy']:.2%}" in shown.stdout

    tuned = qkv(
        "train", "shapes", "--system", "vit", "--initial", "whole", "--out", "tuned", *SMALL[-4:], folder=tmp_path
    )
    assert tuned.returncode == 0, tuned.stderr
    assert "the 2 classes are the same" in tuned.stderr


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    tiny_vit(folder / "tiny")
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "text.jpg").write_text("no picture")
    good = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))
    good.save(pictures / "good.jpg")
    (pictures / "truncated.jpg").write_bytes((pictures / "good.jpg").read_bytes()[:900])
    Image.new("RGB", (1, 1), "red").save(pictures / "one.png")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(pictures / "sixteen.png")
    good.convert("RGBA").save(pictures / "rgba.png")
    huge_png(pictures / "huge.png")
    return folder


def test_what_can_be_read_is_answered_and_the_rest_named(hostile: Path, qkv) -> None:
    done = qkv("classify", "tiny", "pictures", folder=hostile)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        f"pictures/{name}" for name in ("good.jpg", "one.png", "rgba.png", "sixteen.png")
    ]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split()[1] for line in errors] == [
        f"pictures/{name}" for name in ("huge.png", "text.jpg", "truncated.jpg")
    ]
    assert "3 of 7 pictures cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_lines(hostile: Path, qkv) -> None:
    done = qkv("classify", "tiny", "pictures/*e.png", "pictures/text.jpg", "--json", "--top-k", 2, folder=hostile)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == ["pictures/huge.png", "pictures/one.png", "pictures/text.jpg"]
    assert [set(row) for row in rows] == [{"file", "error"}, {"file", "predictions"}, {"file", "error"}]
    assert len(rows[1]["predictions"]) == 2


def test_names_without_a_picture_hold_up_no_other(hostile: Path, qkv) -> None:
    done = qkv("classify", "tiny", "none.png", "*.gif", "pictures/good.jpg", folder=hostile)
    assert done.returncode == 1
    assert done.stdout.startswith("pictures/good.jpg: ")
    assert "error: none.png does not exist: check the path" in done.stderr
    assert "error: no file matches *.gif: check the pattern" in done.stderr


def test_file_names_that_are_no_text(hostile: Path, qkv) -> None:
    odd = hostile / "odd"
    odd.mkdir()
    good = (hostile / "pictures" / "good.jpg").read_bytes()
    for name in (b"a\nb.jpg", b"\xff.jpg"):
        Path(os.fsdecode(bytes(odd) + b"/" + name)).write_bytes(good)
    shown = qkv("classify", "tiny", "odd", folder=hostile)
    assert shown.returncode == 0, shown.stderr
    assert [line.split(": ")[0] for line in shown.stdout.splitlines()] == [r"odd/a\nb.jpg", r"odd/\xff.jpg"]
    rows = [json.loads(line) for line in qkv("classify", "tiny", "odd", "--json", folder=hostile).stdout.splitlines()]
    assert [row["file"] for row in rows] == ["odd/a\nb.jpg", "odd/\udcff.jpg"]


def test_explain_draws_and_writes_data(hostile: Path, qkv) -> None:
    done = qkv("explain", "tiny", "pictures/good.jpg", "--out", "map.png", "--json", "map.json", folder=hostile)
    assert done.returncode == 0, done.stderr
    assert "the picture: map.png" in done.stdout
    data = json.loads((hostile / "map.json").read_text())
    assert np.array(data["heads"]).shape == (2, 2, 2, 2)
    assert (hostile / "map.png").stat().st_size > 1000
    assert "the picture: good.attention.png" in qkv("explain", "tiny", "pictures/good.jpg", folder=hostile).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classify", "multi30k", "pictures"), "multi30k is a translator, which cannot classify: use `qkv translate`"),
        (
            ("translate", "tiny", "--to", "de", "text"),
            "tiny is a classifier, which cannot translate: use `qkv classify`",
        ),
        (("eval", "tiny", "pictures", "--confusion", "pictures"), "--confusion pictures must end in .png"),
        (("explain", "tiny", "pictures/good.jpg", "--out", "tiny/config.json/a.png"), "config.json; choose another"),
        (("eval", "tiny", "pictures"), "pictures has no class folders"),
        (("explain", "multi30k", "Hello.", "--out", "x.png"), "say which language to translate into with --to"),
        (("explain", "tiny", "pictures/text.jpg", "--out", "x.png"), "text.jpg is not a picture"),
        (("eval", "multi30k", "--src", "a", "--ref", "b"), "--from and --to must be given too"),
        (("train", "none"), "none does not exist: check the path"),
        (("train", "tiny"), "tiny: no system knows this data; it may be for a translator a table"),
        (("train", "pictures", "--system", "vit"), "pictures has no class folders"),
        (("train", "--system", "vit"), "nothing to train on: give a recipe, a run, or data, which is for a translator"),
        (("train", "pictures", "--system", "vti"), "--system: system is 'vti'; choose from classifier, codes"),
    ],
)
def test_errors_are_one_line(hostile: Path, arguments: tuple[str, ...], message: str, qkv) -> None:
    done = qkv(*arguments, folder=hostile)
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval", "tiny"), "Missing argument"),
        (("eval", "tiny", "pictures", "--to", "de"), "No such option: --to"),
        (
            ("eval", "multi30k", "pictures"),
            "Got unexpected extra argument(s) (pictures) (qkv eval multi30k --help lists the options)",
        ),
        (("explain", "tiny", "pictures/good.jpg", "--out", "x.png", "--to", "de"), "No such option: --to"),
    ],
)
def test_options_are_those_of_the_model(hostile: Path, arguments: tuple[str, ...], message: str, qkv) -> None:
    done = qkv(*arguments, folder=hostile)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1, done.stderr
