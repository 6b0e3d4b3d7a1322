"""`qkv draw`: the files it writes, what it says, and what it refuses; and what other verbs say of a painter."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qkv
from qkv import model_directory
from qkv.figures.gallery import draw_gallery, draw_samples
from qkv.systems import registry
from tiny_painter import CAPTIONS, tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import tiny_vit


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_painter(tmp_path_factory.mktemp("painter") / "model")


def test_pictures_stand_over_their_captions(tiny: Path, tmp_path: Path, qkv_command) -> None:
    out, gif = tmp_path / "new" / "grid.png", tmp_path / "forms.gif"
    options = ("--out", out, "--gif", gif, "-n", 3, "--seed", 7, "--top-k", 5, "--guidance", 1.5, "--rerank")
    done = qkv_command("draw", tiny, *CAPTIONS, *options)
    assert done.status == 0, done.err
    assert done.lines[-2:] == [f"the picture: {out}", f"how it forms: {gif}"]
    painter = qkv.load(tiny, device="cpu")
    drawings = painter.drawings(CAPTIONS, n=3, seed=7, top_k=5, guidance=1.5, rerank=True)
    sheet = np.asarray(Image.open(out).convert("RGB"))
    found = []
    for row, place in zip(drawings, range(6, 10_000, 96 + 6 + 26)):  # 12 times their 8 pixels, a gap, a line of text
        for drawing, left in zip(row, range(6, 10_000, 96 + 6), strict=False):
            corner = sheet[place : place + 96, left : left + 96]
            found.append((corner == np.asarray(drawing.image).repeat(12, 0).repeat(12, 1)).all())
        assert (sheet[place + 96 : place + 96 + 32] < 100).any()  # letters
    assert found == [True] * 12

    with Image.open(gif) as moving:
        assert moving.size == (256, 256)
        assert 2 <= moving.n_frames <= 17
        assert (np.asarray(moving.convert("RGB")) == 127).all()
        moving.seek(moving.n_frames - 1)
        last = np.asarray(moving.convert("RGB"))[16::32, 16::32].astype(float)
    assert np.abs(last - np.asarray(drawings[0][0].image)).mean() < 6  # a GIF has 256 colours


def test_a_picture_is_completed(tiny: Path, tmp_path: Path, qkv_command) -> None:
    prime, out = tmp_path / "prime.png", tmp_path / "out.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(prime)
    done = qkv_command("draw", tiny, "a red bird", "--prime", prime, "--keep-rows", 2, "--out", out)
    assert done.status == 0, done.err
    expected = qkv.load(tiny, device="cpu").draw("a red bird", prime=prime, keep_rows=2)
    assert out.read_bytes() == draw_gallery([expected], ["a red bird"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("draw", "TINY", ""), "the caption '' is empty: say what the picture shows"),
        (("draw", "TINY", "bird " * 99), "tokens, the model reads 12: shorten it"),
        (("draw", "TINY", "bird", "--out", "x.jpg"), "--out x.jpg must end in .png"),
        (("draw", "TINY", "bird", "--gif", "x.png"), "--gif x.png must end in .gif"),
        (("draw", "TINY", "bird", "--temperature", 0), "temperature must be a number above 0"),
        (("draw", "TINY", "bird", "--keep-rows", 2), "prime and keep_rows belong together"),
        (("draw", "TINY", "bird", "--prime", "none.png", "--keep-rows", 2), "none.png"),
        (("draw", "multi30k", "bird"), "multi30k is a translator, which cannot draw: use `qkv translate`"),
        (("draw", "multi30", "bird"), "there is no model 'multi30'; did you mean multi30k?"),
        (("draw", "TINY"), "is a model; say what it is to draw, as in: qkv draw"),
        (
            ("draw", "TINY", "bird", "--scorer", "multi30k"),
            "is a translator, which cannot judge pictures: give a classifier or a scorer",
        ),
        (("draw", "TINY", "bird", "--scorer", "VIT"), "the caption 'bird' must name exactly one label"),
        (("draw", "TINY", "a bee", "--scorer", "VIT", "--rerank"), "drop one of the two"),
        (("translate", "TINY", "--to", "de", "text"), "is a painter, which cannot translate: use `qkv draw`"),
        (("classify", "TINY", "x.png"), "is a painter, which cannot classify: use `qkv draw`"),
        (("explain", "TINY", "bird", "--out", "y.png"), "is a painter, which cannot be explained: use `qkv draw`"),
        (
            ("export", "TINY", "--format", "onnx", "--out", "y"),
            "is a painter, which cannot be exported: use `qkv draw`",
        ),
    ],
)
def test_errors_are_one_line(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qkv_command, arguments: tuple, said: str
) -> None:
    models = {"TINY": tiny, "VIT": tiny_vit(tiny.parent / "vit")}
    monkeypatch.chdir(tmp_path)
    done = qkv_command(*(models.get(str(word), word) for word in arguments))
    assert done.status == 1
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_model_judges(tiny: Path, tmp_path: Path, qkv_command) -> None:
    painter, out = qkv.load(tiny, device="cpu"), tmp_path / "out.png"
    for folder in (tiny_vit(tmp_path / "vit"), tiny_scorer(tmp_path / "scorer")):
        done = qkv_command("draw", tiny, "a bee", "-n", 4, "--scorer", folder, "--out", out, "--force")
        assert done.status == 0, done.err
        expected = painter.draw("a bee", n=4, scorer=qkv.load(folder, device="cpu"))
        assert out.read_bytes() == draw_gallery([expected], ["a bee"])


def test_which_word_is_the_model(
    tiny: Path, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, qkv_command
) -> None:
    monkeypatch.chdir(tmp_path)
    bundled = {"multi30k": model_folder, "tinted": tiny}
    for module in (model_directory, registry):
        monkeypatch.setattr(module, "bundled_models", lambda: bundled)
    for words, captions in (
        (["a red bird"], ["a red bird"]),
        (["bird"], ["bird"]),
        (["tinte"], ["tinte"]),  # by itself it can only be a caption
        (["a bird", "a / fish"], ["a bird", "a / fish"]),
        (["tinted", "bird"], ["bird"]),
        ([tiny, "bird", "tinted"], ["bird", "tinted"]),
    ):
        done = qkv_command("draw", *words, "--out", "out.png", "--force")
        assert done.status == 0, done.err
        expected = qkv.load(tiny, device="cpu").draw(captions)
        assert Path("out.png").read_bytes() == draw_gallery(expected, captions)
    Path("begun").mkdir()
    Path("begun/recipe.yaml").write_text("system: dalle\n")
    assert "begun holds no model" in qkv_command("draw", "begun", "a red bird").err
    bundled.pop("tinted")
    done = qkv_command("draw", "a red bird")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "'a red bird' is no model, and no painter comes with this version: name a model folder" in done.err


def test_samples_stand_over_their_names(tmp_path: Path) -> None:
    pictures = [Image.new("L", (4, 4), 9 * number) for number in range(28)]
    names = ["Käse", "고양이 " * 9, *[""] * 26]
    (tmp_path / "sheet.png").write_bytes(draw_samples(pictures, names))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert sheet.shape == (4 * 136 + 6, 8 * 118 + 6)
    for number in range(28):
        top, left = 6 + number // 8 * 136, 6 + number % 8 * 118
        assert (sheet[top : top + 112, left : left + 112] == 9 * number).all()
        name = sheet[top + 112 : top + 130, left - 3 : left + 115]
        assert (name == 255).all() == (number > 1)
    assert (sheet[:, -3:] == 255).all()


def test_letters_of_any_script_and_of_none(tmp_path: Path) -> None:
    """Captions that are too long for the sheet, two cells wide, not printable, or that look like formulas."""
    picture = Image.new("L", (8, 8), 90)
    captions = ["word " * 60, "빨간 새 " * 40 + "W" * 300, "a\nb\x1b[31m\x00", "$x$ \\frac", "\U0010ffff"]
    (tmp_path / "sheet.png").write_bytes(draw_gallery([[picture] * 9] * 5, captions))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert sheet.shape == (6 + 5 * (2 * (96 + 6) + 26), 8 * (96 + 6) + 6)
    assert (sheet[:, -4:] == 255).all()  # nothing runs out of it
