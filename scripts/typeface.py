"""Makes the font for Korean that comes with the package: a part of Noto Sans KR, under another name.

`python scripts/typeface.py NotoSansKR-Regular.ttf` reads the whole font, as Google Fonts has it, with fontTools, which
matplotlib brings along.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

TARGET = Path(__file__).resolve().parent.parent / "src/qkv/figures/typeface/QKVSansKR-Regular.ttf"
FAMILY = "QKV Sans KR"  # so that nobody takes it for the whole one
RANGES = [
    (0x20, 0x24F),  # Latin
    (0x370, 0x4FF),  # Greek, Cyrillic
    (0x1100, 0x11FF),  # Hangul, single letters
    (0x2000, 0x206F),  # punctuation
    (0x20A0, 0x20BF),  # currencies
    (0x2190, 0x21FF),  # arrows
    (0x25A0, 0x25FF),  # shapes
    (0x3000, 0x318F),  # CJK punctuation, Hiragana, Katakana, Hangul letters
    (0xAC00, 0xD7AF),  # Hangul, syllables
    (0xFF00, 0xFFEF),  # full and half width
]


def main(source: Path) -> None:
    """Write the font."""
    font = TTFont(source)
    options = subset.Options(layout_features=[], hinting=False, glyph_names=False, notdef_outline=True, name_IDs=["*"])
    options.drop_tables += ["BASE", "GDEF", "GPOS", "GSUB", "STAT", "VORG", "vhea", "vmtx"]  # for a line of labels
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
    subsetter.subset(font)
    for number, name in {1: FAMILY, 3: f"{FAMILY} Regular", 4: f"{FAMILY} Regular", 6: TARGET.stem}.items():
        font["name"].setName(name, number, 3, 1, 0x409)
    font.save(TARGET)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
