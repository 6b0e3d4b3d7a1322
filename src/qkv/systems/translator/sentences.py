"""Over-long text in parts that a model can take: at marks of sentences, then clauses, then spaces, then anywhere.

Nothing is lost: the parts joined together are the text. What is linear here must stay linear, since a hostile line may
hold a hundred thousand of any character.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from qkv.characters import without_ignorable
from qkv.systems.translator.boundaries import CLOSING, NEWLINES, SPACED, UNSPACED

Count = Callable[[Sequence[str]], list[int]]
"""Number of tokens of each text."""

# Marks that end a clause only before a space ("12:30"), and those that need none.
_CLAUSE, _CLAUSE_UNSPACED = ",;:،؛፣–—", "，、；：､"
# Scripts that put no space between words or sentences: ideographs, kana, full-width forms, Thai, Lao, Burmese, Khmer.
_UNSPACED_SCRIPT = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303f\u3040-\u31ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]"
)
# A shorter "sentence" is an abbreviation or a number of a list, and goes with the next.
_SHORT_SENTENCE = 4


def is_blank(text: str) -> bool:
    """Nothing but spaces, control, format and other unseen characters, and lone surrogates."""
    blank = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
    return all(unicodedata.category(character) in blank for character in without_ignorable(text))


def split(text: str, count: Count, limit: int) -> list[str]:
    """Parts of at most `limit` tokens; a single character stays whole even if it has more."""
    parts = [text]
    for cut, enough in ((_sentences, min(_SHORT_SENTENCE, limit)), (_clauses, limit), (_words, limit)):
        parts = _apply(
            parts, count, limit, lambda part, n, cut=cut, enough=enough: _pack(cut(part), count, limit, enough)
        )
    while any(n > limit and len(part) > 1 for part, n in zip(parts, count(parts))):
        parts = _apply(parts, count, limit, lambda part, n: _slices(part, -(-n // limit)))
    return parts


def join(parts: Sequence[str], translations: Sequence[str]) -> str:
    """Translations of the parts as one text, with spaces where the target language has them."""
    text, last = "", ""
    for part, translation in zip(parts, translations, strict=True):
        if text and translation:
            text += separator(last, text[-1], translation[0])
        text += translation
        last = part
    return text


def separator(part: str, left: str, right: str) -> str:
    """What goes between the last and first characters of two translated parts; `part` is the source of the left one."""
    if any(newline in part[len(part.rstrip()) :] for newline in NEWLINES):
        return " "
    inside_a_word = part[-1:].isalnum() and not _UNSPACED_SCRIPT.match(part[-1])
    if inside_a_word or _UNSPACED_SCRIPT.match(left) or _UNSPACED_SCRIPT.match(right):
        return ""
    return " "


def _apply(parts: list[str], count: Count, limit: int, cut: Callable[[str, int], list[str]]) -> list[str]:
    """The parts, with those that are too long cut."""
    return [
        piece
        for part, n in zip(parts, count(parts))
        for piece in (cut(part, n) if n > limit and len(part) > 1 else [part])
    ]


def _sentences(text: str) -> list[str]:
    return _cut(text, (end for end in _ends(text, SPACED, UNSPACED) if _starts_anew(text, end)))


def _clauses(text: str) -> list[str]:
    return _cut(text, _ends(text, _CLAUSE, _CLAUSE_UNSPACED))


def _words(text: str) -> list[str]:
    return _cut(text, (match.end() for match in re.finditer(r"\s+", text)))


def _ends(text: str, spaced: str, unspaced: str) -> Iterable[int]:
    """Where a mark, closing quotes and the spaces behind it end."""
    # Each alternative matches wherever its first character does: no backtracking.
    for match in re.finditer(rf"\s+|[{unspaced}]+[{re.escape(CLOSING)}]*\s*", text):
        if not match[0].isspace() or any(newline in match[0] for newline in NEWLINES):
            yield match.end()
            continue
        before = match.start()
        while before and text[before - 1] in CLOSING:
            before -= 1
        if before and text[before - 1] in spaced:
            yield match.end()


def _starts_anew(text: str, end: int) -> bool:
    """False behind an abbreviation such as "e.g.", which a small letter follows."""
    return not text[end : end + 1].islower() or "." not in text[max(end - 4, 0) : end]


def _cut(text: str, ends: Iterable[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise(sorted({0, *ends, len(text)}))]


def _pack(pieces: list[str], count: Count, limit: int, enough: int) -> list[str]:
    """Neighbours together while they have fewer than `enough` tokens and fit into `limit`."""
    packed: list[str] = []
    gathered: list[str] = []
    total = 0
    for piece, n in zip(pieces, count(pieces)):
        if gathered and (total >= enough or total + n > limit):
            packed.append("".join(gathered))
            gathered, total = [], 0
        gathered.append(piece)
        total += n
    return [*packed, "".join(gathered)]


def _slices(text: str, n: int) -> list[str]:
    """About n equal parts; a few marks that belong to the character before stay with it."""
    size = -(-len(text) // max(n, 2))
    last = len(text) - 1
    ends = range(size, len(text), size)
    return _cut(
        text, (next((i for i in range(end, min(end + 3, last) + 1) if not _is_mark(text[i])), end) for end in ends)
    )


def _is_mark(character: str) -> bool:
    return character in "\u200d\ufe0f" or unicodedata.combining(character) > 0
