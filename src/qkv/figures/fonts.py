"""Fonts for any script: matplotlib's own, ours for Korean, installed ones, and what none of them can draw."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager

from qkv.figures.text import printable

_FIRST = "DejaVu Sans"  # comes with matplotlib; covers Latin, Greek, Cyrillic and more
_KOREAN = Path(__file__).parent / "typeface/QKVSansKR-Regular.ttf"  # part of Noto Sans KR; kana and Latin too
_BOXES = "Last Resort"  # claims every character and draws a box with the name of its script; matplotlib brings it along


@cache
def _characters(path: str) -> frozenset[int]:
    """What a font can draw; nothing where it is unreadable or a bitmap, which matplotlib cannot scale."""
    try:
        font = font_manager.get_font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


@cache
def add_new_fonts() -> None:
    """Add our font, and those installed after matplotlib listed them, which it does once and keeps on disk."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in {str(_KOREAN), *font_manager.findSystemFonts()} - known:
        with suppress(OSError, RuntimeError, UnicodeError):  # of no use to matplotlib
            font_manager.fontManager.addfont(path)


def _installed() -> Iterator[tuple[str, str]]:
    """Name and file of each upright font: ours, then installed ones, the plain ones first."""
    add_new_fonts()
    fonts = [f for f in font_manager.fontManager.ttflist if f.style == "normal" and not f.name.startswith(_BOXES)]
    ours = str(_KOREAN)
    for font in sorted(fonts, key=lambda f: (f.fname != ours, abs(int(f.weight) - 400), f.name, f.fname)):
        yield font.name, font.fname


def find_fonts(text: str) -> tuple[list[str], set[str]]:
    """Fonts that draw a text, in matplotlib's order of preference, and the characters that no installed font has."""
    names = [_FIRST]
    missing = {ord(character) for character in text}
    missing -= _characters(font_manager.findfont(_FIRST))
    if not missing:
        return names, set()
    for name, path in _installed():
        if not missing:
            break
        if found := missing & _characters(path):
            # By name alone matplotlib may pick another face of the family; only what that one has is covered.
            covered = found & _characters(font_manager.findfont(font_manager.FontProperties(family=[name])))
            missing -= covered
            names += [name] if covered else []
    return names, {chr(code) for code in missing}


def substitute(text: str, missing: Iterable[str]) -> str:
    """The text, `printable`, with a box for each character that cannot be drawn."""
    return printable(text.translate({ord(character): "□" for character in missing}))


@contextmanager
def drawing(text: str) -> Iterator[set[str]]:
    """Matplotlib as it comes, whatever the user's own settings are, but with fonts that draw a text, as no formula.

    The text is all that will be drawn. Yields the characters that no installed font has, for `substitute`.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        fonts, missing = find_fonts(printable(text))
        matplotlib.rcParams.update({"font.family": fonts, "text.parse_math": False})
        yield missing


def shorten(text: str) -> str:
    """A text as a label: no longer than 24 characters."""
    return text if len(text) <= 24 else text[:23] + "…"
