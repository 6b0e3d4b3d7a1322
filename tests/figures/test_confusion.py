"""Confusion matrices as pictures: class names of any script, whatever fonts there are."""

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from PIL import Image

from qkv.explain.overlay import draw_patches
from qkv.explain.patches import PatchAttention
from qkv.figures import fonts
from qkv.figures.confusion import draw_confusion

COUNTS = torch.tensor([[3, 1], [0, 2]])


def pixels(names: list[str]) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(draw_confusion(COUNTS, names))).convert("L"))


def only_what_is_brought_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts that matplotlib and the package bring along, whatever is installed here."""
    fonts.add_new_fonts()
    brought = (matplotlib.get_data_path(), str(Path(fonts.__file__).parent))
    own = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(brought)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)


# Korean, Japanese, an emoji with a joiner, right to left, a control character, one that nobody has been assigned.
@pytest.mark.parametrize("name", ["축구공", "りんご", "👩\u200d🚀", "كلب", "a\tb\x00", "\U000e0fff", "$x^$", ""])
def test_any_name_is_drawn_without_a_warning(name: str) -> None:
    assert (pixels([name, "b"]) < 128).any()  # the suite makes errors of matplotlib's warnings


def test_another_font_is_taken_where_the_first_lacks_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    only_what_is_brought_along(monkeypatch)
    # U+233D is in STIX, which comes with matplotlib, and not in DejaVu Sans.
    drawn, box = pixels(["\u233d" * 9, "b"]), pixels(["□" * 9, "b"])
    assert drawn.shape != box.shape or (drawn != box).any()


def test_any_korean_caption_is_drawn_wherever_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    only_what_is_brought_along(monkeypatch)
    korean = "".join(map(chr, range(0xAC00, 0xD7A4))) + "ㄱㅏㅎㅣ"  # every syllable, and letters alone
    text = f"{korean} ひらがな カタカナ、。 кириллица naïve"
    assert fonts.find_fonts(text) == (["DejaVu Sans", "QKV Sans KR"], set())
    drawn, box = pixels(["웃는 얼굴", "b"]), pixels(["□□ □□", "b"])
    assert drawn.shape != box.shape or (drawn != box).any()


def test_a_box_stands_for_what_no_font_has(monkeypatch: pytest.MonkeyPatch) -> None:
    only_what_is_brought_along(monkeypatch)
    np.testing.assert_array_equal(pixels(["ሰላ", "b"]), pixels(["□□", "b"]))  # Amharic
    assert not np.array_equal(pixels(["ab", "b"]), pixels(["□□", "b"]))


def test_a_map_is_headed_by_any_name(tmp_path: Path) -> None:
    attention = PatchAttention(rollout=torch.full((2, 2), 0.25), heads=torch.full((1, 1, 2, 2), 0.25))
    draw_patches(Image.new("L", (8, 8)), attention, tmp_path / "map.png", heading="축구공.png: 👩 50.0%")
    assert (tmp_path / "map.png").stat().st_size > 1000
