"""Characters that nobody sees, and forms of Unicode that nobody can tell apart."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt but for ZWNJ and ZWJ (U+200C, U+200D), which
# join or part the letters around them: soft hyphen, grapheme joiner, zero-width space, word joiner, byte order mark,
# marks of direction, variation selectors, tags, fillers, and what is reserved for more of such.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def without_ignorable(text: str) -> str:
    """Text without the characters that have neither a form nor a width of their own, such as soft hyphens."""
    return text if text.isascii() else _IGNORABLE.sub("", text)


def composed(text: str) -> str:
    """Text in Unicode's form NFC and without ignorable characters: so that look-alikes are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", without_ignorable(text))


Form = Literal["NFD", "no one form"]


def form_of(texts: Sequence[str]) -> Form | None:
    """The form of Unicode that the texts are in, where that is not NFC: decomposed (as files of a Mac), or mixed."""
    odd = [text for text in texts if not unicodedata.is_normalized("NFC", text)]
    if not odd:
        return None
    return "NFD" if all(unicodedata.is_normalized("NFD", text) for text in texts) else "no one form"
