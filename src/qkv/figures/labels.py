"""Lines of text on a picture, in any script for which there is a font, with Pillow alone."""

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from qkv.figures.text import printable

_SIZE = 12.5  # pixels, of the letters
_BASELINE = 0.35  # of the size, below the middle of a line
_BOX, _CUT = "□", "…"
_OWN = Path(__file__).with_name("typeface")  # fonts that come with the package
_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "${WINDIR}/Fonts",
    "${LOCALAPPDATA}/Microsoft/Windows/Fonts",
)
_LESS_PLAIN = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black", "medium")
_BOXES = "lastresort"  # a font that claims every character and draws a box with the name of its script
_NOBODY = "\U0010ffff"  # never a character: what a font draws for it, it draws for all that it lacks

Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Label:
    """A line of text on a picture; in pixels, from the upper left corner. What does not fit is cut."""

    text: str
    left: float
    middle: float
    width: float


def write_labels(picture: Image.Image, labels: Sequence[Label]) -> None:
    """Write lines of text, black; a box stands for a character that is not `printable` or in no font."""
    fonts, missing = _find_fonts("".join(printable(label.text) for label in labels) + _CUT)
    canvas = ImageDraw.Draw(picture)
    for label in labels:
        text = "".join(_BOX if character in missing else character for character in printable(label.text))
        left = label.left
        for font, part in _parts(_cut(text, label.width, fonts), fonts):
            canvas.text((left, label.middle + _BASELINE * _SIZE), part, fill="black", font=font, anchor="ls")
            left += font.getlength(part)


def missing_characters(text: str) -> set[str]:
    """What no font here has, of a text."""
    return _find_fonts(printable(text))[1]


def _find_fonts(text: str) -> tuple[list[Font], set[str]]:
    """Fonts that draw a text, in order of preference, and the characters that none has."""
    missing = {character for character in text if not character.isspace()}
    fonts = []
    for path in (*sorted(_OWN.glob("*.[to]tf")), *_installed()) if missing else ():
        if (font := _opened(path)) is not None and (found := _drawn(font, missing)):
            fonts.append(font)
            missing -= found
            if not missing:
                break
    return fonts, missing


@cache
def _installed() -> tuple[Path, ...]:
    """The font files of this machine, the plain ones first."""
    folders = [Path(os.path.expandvars(folder)).expanduser() for folder in _FOLDERS]
    files = {file for folder in folders for file in folder.rglob("*.[tToO][tT][fFcC]")}
    plain = [file for file in files if not file.stem.lower().replace(" ", "").startswith(_BOXES)]
    return tuple(sorted(plain, key=_plainness))


def _plainness(file: Path) -> tuple[int, int, str]:
    return sum(word in file.stem.lower() for word in _LESS_PLAIN), len(file.stem), str(file)


@cache
def _opened(path: Path) -> Font | None:
    """A font; none where the file is unreadable, or a bitmap font of another size."""
    try:
        return ImageFont.truetype(path, _SIZE)
    except OSError:
        return None


def _drawn(font: Font, characters: set[str]) -> set[str]:
    """Those characters that a font has a picture of its own for."""
    try:
        font = font.font_variant(layout_engine=ImageFont.Layout.BASIC)  # a glyph a character, none made of several
        glyphs: dict[str, Any] = {character: font.getmask(character) for character in {*characters, _NOBODY}}
        lacking = bytes(glyphs[_NOBODY])
        return {character for character in characters if bytes(glyphs[character]) != lacking}
    except (OSError, ValueError):  # a damaged font
        return set()


def _parts(text: str, fonts: Sequence[Font]) -> Iterator[tuple[Font, str]]:
    """The text in parts, each with the font that has its characters; the first where none has."""

    def chosen(character: str) -> int:
        return next((number for number, font in enumerate(fonts) if _has(font, character)), 0)

    for number, part in groupby(text, chosen):
        yield fonts[number], "".join(part)


@cache
def _has(font: Font, character: str) -> bool:
    return character.isspace() or bool(_drawn(font, {character}))


def _cut(text: str, width: float, fonts: Sequence[Font]) -> str:
    """What of a text fits into so many pixels."""

    def needed(text: str) -> float:
        return sum(font.getlength(part) for font, part in _parts(text, fonts))

    if needed(text) <= width:
        return text
    kept = bisect_right(range(len(text)), width, key=lambda kept: needed(text[:kept] + _CUT)) - 1
    return text[: max(kept, 0)] + _CUT
