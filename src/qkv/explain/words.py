"""Sub-word pieces to readable words: which pieces belong together, and what they read as."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# Han, kana, Thai, Lao, Burmese and Khmer are written without spaces; there a piece is the nearest thing to a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Token:
    """One row or column of an attention map.

    Attributes:
        text: a word, or a sub-word piece as SentencePiece writes it ("▁" is a space, "<0xC3>" a byte)
        special: begin, end or a language tag, which no text spells.
    """

    text: str
    special: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it says something: neither special nor punctuation, the places where idle attention rests."""
        return not self.special and not _is_punctuation(self.text.removeprefix(_SPACE))


@dataclass(frozen=True)
class _Unit:
    """A piece, or the bytes that spell one character."""

    start: int
    stop: int
    text: str
    special: bool


def group_words(pieces: Sequence[Token]) -> list[range]:
    """The pieces of each word, in order; together they cover all pieces.

    A word starts at "▁". Special tokens stand alone, and so does punctuation at a word's edge ("snow" "."), while
    punctuation inside a word stays in it ("l'homme").
    """
    words: list[list[_Unit]] = []
    for unit in _units(pieces):
        if words and not _separates(words[-1][-1], unit):
            words[-1].append(unit)
        else:
            words.append([unit])
    return [range(part[0].start, part[-1].stop) for word in words for part in _without_edges(word)]


def merge(pieces: Sequence[Token], group: range) -> Token:
    """The word that a group of pieces spells."""
    if len(group) == 1 and pieces[group[0]].special:
        return pieces[group[0]]
    return Token(_spelling(pieces[group.start : group.stop]).replace(_SPACE, " ").strip() or _SPACE)


def _units(pieces: Sequence[Token]) -> Iterator[_Unit]:
    start = 0
    while start < len(pieces):
        last = start
        if pieces[start] == Token(_SPACE) and start + 1 < len(pieces) and _continues_word(pieces[start + 1]):
            last += 1  # a space of its own stands before what is spelt in bytes
        stop = last + 1
        if _byte(pieces[last]) is not None:
            while stop < len(pieces) and (_byte(pieces[stop]) or 0) & 0xC0 == 0x80:  # UTF-8 continuation
                stop += 1
        yield _Unit(start, stop, _spelling(pieces[start:stop]), pieces[start].special)
        start = stop


def _separates(left: _Unit, right: _Unit) -> bool:
    if left.special or right.special or right.text.startswith(_SPACE):
        return True
    return bool(_UNSPACED.search(left.text) or _UNSPACED.search(right.text))


def _without_edges(word: list[_Unit]) -> Iterator[list[_Unit]]:
    """Leading punctuation, the word, trailing punctuation: those that there are."""
    solid = [i for i, unit in enumerate(word) if not _is_punctuation(unit.text.removeprefix(_SPACE))]
    if not solid or word[0].special:
        yield word
        return
    first, last = solid[0], solid[-1] + 1
    yield from filter(None, (word[:first], word[first:last], word[last:]))


def _is_punctuation(text: str) -> bool:
    return bool(text) and all(unicodedata.category(character)[0] == "P" for character in text)


def _continues_word(piece: Token) -> bool:
    return not piece.special and not piece.text.startswith(_SPACE)


def _byte(piece: Token) -> int | None:
    match = None if piece.special else _BYTE.fullmatch(piece.text)
    return int(match[1], 16) if match else None


def _spelling(pieces: Sequence[Token]) -> str:
    """Their text, bytes as the characters they spell, spaces as "▁"."""
    values = ((_byte(piece), piece.text) for piece in pieces)
    encoded = (text.encode("utf-8") if byte is None else bytes([byte]) for byte, text in values)
    return b"".join(encoded).decode("utf-8", errors="replace")
