"""Attention as a picture."""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from matplotlib.image import imread

from qkv.data.parallel.vocabulary import Codec
from qkv.errors import QkvError
from qkv.explain.attention import AttentionMap
from qkv.explain.picture import Panel, draw, draw_translation
from qkv.explain.words import Token
from qkv.figures import fonts
from qkv.figures.fonts import find_fonts, substitute
from qkv.models.translator import TranslatorModel
from qkv.systems.translator.explain import record_translation


def table(rows: int, columns: int, word: str = "word") -> AttentionMap:
    weights = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    return AttentionMap(weights, (Token(word),) * rows, (Token(word),) * columns)


def test_a_translation_becomes_a_picture(model: TranslatorModel, codec: Codec, tmp_path: Path):
    record = record_translation(model, codec, "Two dogs play.", "Zwei Hunde spielen.", "de").words()
    path = tmp_path / "new" / "attention.png"
    drawing = draw_translation(record, path, head=2, heading=["Two dogs play.", "Zwei Hunde spielen."])
    assert drawing.head == 2 and drawing.layer in (1, 2) and not drawing.missing
    assert [file.name for file in path.parent.iterdir()] == ["attention.png"]
    pixels = imread(path)
    assert pixels.shape[0] > 300 and pixels.shape[1] > 600
    assert len(np.unique(pixels[::3, ::3].reshape(-1, pixels.shape[2]), axis=0)) > 50
    other = tmp_path / "layer.png"
    draw_translation(record, other, layer=1, head=1)
    assert other.read_bytes() != path.read_bytes()


def test_cells_are_darker_where_attention_is(tmp_path: Path):
    weights = torch.eye(4) * 0.09 + 0.001  # below what is written into cells
    tokens = (Token(""),) * 4
    draw([Panel("", "", AttentionMap(weights, tokens, tokens))], tmp_path / "a.png")
    grey = imread(tmp_path / "a.png")[..., :3].mean(axis=2)
    dark = grey < 0.35
    columns, rows = np.flatnonzero(dark[:, :].any(axis=0)), np.flatnonzero(dark.any(axis=1))
    top, left, cell = rows[0], columns[0], 0.36 * 150
    for row in range(4):
        for column in range(4):
            y, x = int(top + (row + 0.5) * cell), int(left + (column + 0.5) * cell)
            assert dark[y, x] == (row == column)


@pytest.mark.parametrize(
    "text",
    [
        "$\\frac{dog}$",
        "$a$ $b",
        "Příliš žluťoučký kůň",
        "où être œuvre",
        "a\x00b\nc\ud800",
        "שלום مرحبا",
        "x" * 200,
        "雪 🦋 한",
    ],
)
def test_any_text_can_be_a_label(text: str, tmp_path: Path):
    draw([Panel(text, text, table(2, 2, text))], tmp_path / "a.png", [text])
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_european_languages_need_no_other_font():
    names, missing = find_fonts("äöüßÄÖÜ éèêëçœæàùÿ ěščřžýáíéúůťďňĚŠČŘŽ „“‚‘»«–… ▁□→")
    assert names == ["DejaVu Sans"] and not missing


def test_what_no_font_has_becomes_a_box(tmp_path: Path):
    unassigned = "\U000e0fff"
    names, missing = find_fonts(f"a{unassigned}")
    assert names[0] == "DejaVu Sans" and missing == {unassigned}
    assert substitute(f"a{unassigned}", missing) == "a□"


def test_a_font_is_found_that_was_installed_after_matplotlib_listed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stix = next(font.fname for font in font_manager.fontManager.ttflist if font.fname.endswith("STIXGeneral.ttf"))
    listed = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    new = shutil.copy(stix, tmp_path)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    fonts.add_new_fonts.cache_clear()
    # U+233D is in STIX, which comes with matplotlib, and not in DejaVu Sans.
    assert find_fonts("\u233d") == (["DejaVu Sans"], {"\u233d"})
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [new])
    fonts.add_new_fonts.cache_clear()
    assert find_fonts("\u233d") == (["DejaVu Sans", "STIXGeneral"], set())


def test_long_sentences_fit(tmp_path: Path):
    draw([Panel("t", "r", table(3, 60))], tmp_path / "a.png", ["long " * 100])
    assert imread(tmp_path / "a.png").shape[1] > 60 * 0.24 * 150


def test_settings_of_the_user_neither_matter_nor_change(tmp_path: Path):
    draw([Panel("t", "r", table(2, 2))], tmp_path / "a.png")
    with matplotlib.rc_context({"font.family": ["serif"], "axes.grid": True, "savefig.dpi": 50}):
        draw([Panel("t", "r", table(2, 2))], tmp_path / "b.png")
        assert matplotlib.rcParams["font.family"] == ["serif"]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_picture_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.png"
    path.write_text("before")

    def fail(self, temporary, **_):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(QkvError, match=r"a\.png \(No space left on device\)"):
        draw([Panel("t", "r", table(2, 2))], path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_errors_are_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path, says in ((tmp_path / "a.jpg", "ends in .png"), (tmp_path / "file" / "a.png", "cannot write")):
        with pytest.raises(QkvError, match=says) as error:
            draw([Panel("t", "r", table(2, 2))], path)
        assert "\n" not in str(error.value)
