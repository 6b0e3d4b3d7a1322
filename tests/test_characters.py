"""Characters that nobody sees, against the rule by which Unicode derives their list; forms of Unicode."""

import unicodedata

import pytest

from qkv.characters import composed, form_of, without_ignorable

JOINERS = "\u200c\u200d"
# Format characters that are seen: signs around numbers, brackets of annotations, the layout of hieroglyphs.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0xFFF9, 0xFFFC)}
SEEN |= set(range(0x13430, 0x13440))


def test_what_is_left_out_is_what_unicode_says_may_be_ignored():
    """DerivedCoreProperties.txt: Other_Default_Ignorable_Code_Point + Cf + Variation_Selector - exceptions."""
    for code in (*range(0x20000), *range(0xE0000, 0xE1000), 0x10FFFF):  # all planes that hold such
        character = chr(code)
        name, category = unicodedata.name(character, ""), unicodedata.category(character)
        variation = "VARIATION SELECTOR" in name
        other = code == 0x34F or code in (0x17B4, 0x17B5) or ("HANGUL" in name and "FILLER" in name)
        format_ = category == "Cf" and code not in SEEN and character not in JOINERS
        if category == "Cn":  # not assigned yet, but reserved for more of such
            assert (without_ignorable(character) == "") == (
                code == 0x2065 or 0xFFF0 <= code <= 0xFFF8 or 0xE0000 <= code <= 0xE0FFF
            ), hex(code)
        else:
            assert (without_ignorable(character) == "") == (variation or other or format_), hex(code)


@pytest.mark.parametrize("text", ["", "plain", "Mädchen", "क्ष\u200d", "نمی\u200cخ", "a\tb\nc \u00a0\u2028", "\ud800"])
def test_other_text_stays_as_it_is(text):
    assert without_ignorable(text) == text


def test_texts_that_look_alike_are_composed_alike():
    plain = "Zwei Hunde spielen in Münster: 한국어, が"
    hidden = unicodedata.normalize("NFD", plain).replace("u", "u\u00ad").replace("e", "\u2060e\ufe0f")
    assert hidden != plain and composed(hidden) == composed(plain) == plain


def test_the_form_of_texts_is_named_unless_it_is_the_usual_one():
    decomposed = unicodedata.normalize("NFD", "grün")
    assert form_of(["grün", "plain", ""]) is None
    assert form_of([]) is None
    assert form_of([decomposed, "plain"]) == "NFD"
    assert form_of([decomposed, "grün"]) == "no one form"
