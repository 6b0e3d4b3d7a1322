"""What verbs write: never over what they read, and over what is there with --force alone, whichever verb it is."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qkv
from tiny import tiny_translator
from tiny_codes import tiny_codes
from tiny_painter import tiny_painter
from tiny_vit import LABELS, tiny_vit

CAPTIONED = "captioned"
# Of each option that names a file to write: the command, with what it reads, and what it is called.
FILES = {
    "translate": (["translate", "translator", "--to", "de", "--input", "in.txt"], "--out", "in.txt"),
    "explain": (["explain", "translator", "two dogs", "--to", "de"], "--out", "translator/odd.png"),
    "explain data": (["explain", "vit", "one.png", "--out", "maps.png"], "--json", "vit/config.json"),
    "explain picture": (["explain", "vit", "one.png"], "--out", "one.png"),
    "draw": (["draw", "painter", "a red bird", "--prime", "one.png", "--keep-rows", "1"], "--out", "one.png"),
    "draw as it forms": (["draw", "painter", "a red bird", "--out", "drawn.png"], "--gif", "painter/odd.gif"),
    "eval classifier": (["eval", "vit", "test"], "--confusion", "test/ant/0.png"),
    "eval codes": (["eval", "codes", "test"], "--grid", "test/ant/0.png"),
    "eval painter": (["eval", "painter", CAPTIONED, "-n", "1", "--limit", "1"], "--grid", f"{CAPTIONED}/0.png"),
    "export": (["export", "vit", "--format", "torch"], "--out", "vit/model.safetensors"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and what they are given."""
    place, draw = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    for name, make in {
        "translator": tiny_translator,
        "vit": tiny_vit,
        "codes": tiny_codes,
        "painter": tiny_painter,
    }.items():
        make(place / name)
    (place / "in.txt").write_text("two dogs\n")

    def picture(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(path)

    for path in ("one.png", "translator/odd.png", "painter/odd.gif", *(f"test/{label}/0.png" for label in LABELS)):
        picture(place / path)
    for number in range(2):
        picture(place / CAPTIONED / f"{number}.png")
        (place / CAPTIONED / f"{number}.txt").write_text("a bird\n")
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(qkv_command, *command: object) -> str:
    """What a command says that is refused, and leaves all files as they were."""
    before = contents(Path())
    done = qkv_command(*command)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert contents(Path()) == before
    return done.err


@pytest.mark.parametrize("case", FILES)
def test_what_is_read_is_never_written_to(place: Path, qkv_command, case: str) -> None:
    command, option, source = FILES[case]
    hard, soft = (Path(name).with_suffix(Path(source).suffix) for name in ("hard", "soft"))
    hard.hardlink_to(source)
    soft.symlink_to(Path(source).absolute())
    (place / "folder").mkdir()
    for name in (source, hard, soft, f"folder/../{source}", Path(source).absolute()):
        for force in ([], ["--force"]):
            assert "would replace what is read" in refused(qkv_command, *command, option, name, *force)


@pytest.mark.parametrize("case", [case for case in FILES if case != "export"])  # which takes long
def test_what_is_there_is_replaced_with_force_alone(place: Path, qkv_command, case: str) -> None:
    command, option, source = FILES[case]
    there, nowhere = (Path(name).with_suffix(Path(source).suffix) for name in ("there", "nowhere"))
    there.write_bytes(b"of great worth")
    nowhere.symlink_to("no-such-file")
    for name in (there, nowhere):
        told = refused(qkv_command, *command, option, name)
        assert told == f"error: {option} {name} is there already: name another file, or add --force to replace it\n"
    done = qkv_command(*command, option, there, "--force")
    assert done.status == 0, done.err
    assert there.read_bytes() != b"of great worth"


def test_two_outputs_are_two_files(place: Path, qkv_command) -> None:
    Path("pictures").symlink_to(".")
    for other in ("a.png", "pictures/a.png"):
        command = ("explain", "vit", "one.png", "--out", "a.png", "--json", other, "--force")
        assert refused(qkv_command, *command) == f"error: --json {other} is the file of --out too: name another\n"


@pytest.mark.parametrize("case", ["translate", "explain picture", "draw"])
def test_out_has_two_spellings(place: Path, qkv_command, case: str) -> None:
    command, option, source = FILES[case]
    one, two, three = (Path(name).with_suffix(Path(source).suffix) for name in ("one-way", "another", "third"))
    for words in (["--out", one], ["--output", two], [f"--output={three}"]):
        done = qkv_command(*command, *words)
        assert done.status == 0, done.err
    assert option == "--out" and one.read_bytes() == two.read_bytes() == three.read_bytes()


def test_standard_input_is_read_too(place: Path, qkv) -> None:
    with Path("in.txt").open() as file:
        done = qkv("translate", "translator", "--to", "de", "--out", "in.txt", "--force", folder=place, stdin=file)
    assert (done.returncode, Path("in.txt").read_text()) == (1, "two dogs\n")
    assert "would replace what is read, /dev/stdin" in done.stderr
    with Path("in.txt").open("a") as file:  # as the shell does for >> in.txt
        done = qkv("translate", "translator", "--to", "de", "--input", "in.txt", folder=place, stdout=file)
    assert (done.returncode, Path("in.txt").read_text()) == (1, "two dogs\n")
    assert "--input in.txt is where the shell puts what is written" in done.stderr


def test_work_that_goes_on_replaces_what_is_there(place: Path, qkv_command, monkeypatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    command = ("translate", "translator", "--to", "de", "--input", "in.txt", "--out", "there.txt")
    Path("there.txt").write_text("old\n")
    with monkeypatch.context() as patch:
        patch.setattr(qkv.systems.translator.pipeline.Translator, "translate", interrupted)
        assert qkv_command(*command, "--force").status == 130
    assert Path("there.txt").read_text() == "old\n"
    assert "is there already" in refused(qkv_command, *command, "--beam-size", 1)  # other work, which was not begun
    assert qkv_command(*command).status == 0
    assert Path("there.txt").read_text() != "old\n"
    assert not list(place.glob("*.partial"))


def test_what_was_begun_may_be_read(place: Path, qkv_command) -> None:
    begun = Path("there.txt.0123456789abcdef.partial")
    begun.write_text("two dogs\n")
    done = qkv_command("translate", "translator", "--to", "de", "--input", begun, "--out", "there.txt")
    assert done.status == 0, done.err
    assert begun.read_text() == "two dogs\n"


def test_models_are_replaced_with_force_alone_and_by_models_alone(place: Path, qkv_command) -> None:
    average = ("average", "vit", "vit", "--out")
    told = "is there already: name another folder, or add --force to replace a model"
    assert told in refused(qkv_command, *average, "codes")
    for name in ("vit", "vit/../vit", ".", ".."):
        assert "would replace what is read, " in refused(qkv_command, *average, name, "--force")
    for name in ("test", "in.txt"):
        assert f"--out {name} is no model folder" in refused(qkv_command, *average, name, "--force")
    Path("linked").symlink_to("codes")
    assert "--out linked is no model folder" in refused(qkv_command, *average, "linked", "--force")
    assert qkv_command(*average, "codes", "--force").status == 0
    assert (place / "codes" / "config.json").read_bytes() == (place / "vit" / "config.json").read_bytes()
    assert "would replace what is read, vit" in refused(qkv_command, "import", "vit", "--out", "vit", "--force")
    assert told in refused(qkv_command, "import", "vit", "--out", "codes")


def test_training_replaces_no_model_and_no_data(place: Path, qkv_command) -> None:
    assert "choose another --out" in qkv_command("train", "test", "--out", "test").err
    Path("run").mkdir()
    shutil.copytree("vit", "run/model")
    before = contents(Path())
    done = qkv_command("train", "test", "--out", "run")
    assert done.status == 1
    assert done.err.endswith("error: --out run: run/model is there already, and of no run: name another folder\n")
    Path("run/.lock").unlink()
    assert contents(Path()) == before


def test_a_device_is_no_output(place: Path, qkv_command) -> None:
    os.mkfifo("pipe.txt")
    command = ("translate", "translator", "--to", "de", "two dogs", "--force", "--out")
    for name in ("pipe.txt", "/dev/null"):
        done = qkv_command(*command, name)
        assert (done.status, done.err) == (1, f"error: --out {name} is no file but a device or a pipe: name a file\n")
