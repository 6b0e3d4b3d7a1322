"""Lines of text on pictures, with the fonts that come with the package alone."""

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from qkv.figures import labels
from qkv.figures.labels import Label, missing_characters, write_labels


@pytest.fixture(autouse=True)
def no_installed_fonts(monkeypatch):
    monkeypatch.setattr(labels, "_installed", tuple)


def pixels(text, width=280, left=10):
    picture = Image.new("RGB", (300, 20), "white")
    write_labels(picture, [Label(text, left, 10, width)])
    return np.asarray(picture.convert("L"))


def test_the_characters_that_are_missing_are_those_that_the_fonts_do_not_map():
    known = {code for file in labels._OWN.glob("*.ttf") for code in TTFont(file).getBestCmap()}
    text = [chr(code) for code in range(0x21, 0x30000, 61) if chr(code).isprintable()]
    missing = missing_characters("".join(text))
    assert missing == {character for character in text if ord(character) not in known}
    assert 0 < len(missing) < len(text)
    assert not missing_characters("웃는 얼굴 갈색 피부, pompier à la peau légèrement mate, Süßes, синий")


def test_a_box_stands_for_what_no_font_has():
    np.testing.assert_array_equal(pixels("a\U0001f9d1b"), pixels("a□b"))
    np.testing.assert_array_equal(pixels("a\x1bb"), pixels("a\ufffdb"))
    assert (pixels("얼굴") != pixels("□□")).any()


def test_a_text_is_cut_where_its_width_ends_and_no_sooner():
    drawn = pixels("W" * 100, width=100)
    assert (drawn[:, 111:] == 255).all() and (drawn[:, 90:110] < 128).any()
    whole = pixels("Word", width=100)
    np.testing.assert_array_equal(whole, pixels("Word", width=280))
    assert (pixels("Word", width=1) < 128).sum() < (whole < 128).sum()
    assert (pixels("") == 255).all()


def test_a_font_is_taken_from_the_machine_where_ours_lack_a_character(monkeypatch, tmp_path):
    import matplotlib

    stix = f"{matplotlib.get_data_path()}/fonts/ttf/STIXGeneral.ttf"
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(b"none")
    assert missing_characters("a\u233d") == {"\u233d"}
    monkeypatch.setattr(labels, "_installed", lambda: (damaged, labels.Path(stix)))
    assert not missing_characters("a\u233d")
    assert (pixels("\u233d") != pixels("□")).any()
