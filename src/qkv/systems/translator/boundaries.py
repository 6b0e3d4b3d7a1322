"""Where the sentences of a text end. In doubt they go on: a sentence cut in two is worse than two taken for one.

A sentence ends at a mark before a space and a word that may begin another, and at the end of a line. Full stops of
abbreviations, initials and ordinal numbers end one only before a word that hardly stands for anything but a beginning,
such as "The" (a list of such words, as Kiss and Strunk 2006 learn it). What is linear here must stay linear.
"""

import re
from bisect import bisect_left
from itertools import pairwise

CLOSING = "\"'”’»)]}」』）】〉》"
SPACED, UNSPACED = ".!?…‽؟۔।॥։።፧។", "。！？｡"
"""Marks that end a sentence only before a space ("3.14"), and those that need none."""
NEWLINES = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"

_CLOSED_BEFORE_SPACE = CLOSING + "“‘«"  # as in German
_OPENED, _CLOSED = "「『（【〈《", "」』）】〉》"  # a sentence between these is a part of the one around them
_OPENING = "\"'“‘„«‹([{¿¡" + _OPENED
# Each alternative matches wherever its first character does: no backtracking.
_EVENT = re.compile(
    rf"(?P<unspaced>[{UNSPACED}]+)(?P<quote>[{re.escape(CLOSING)}]*)(?P<space>\s*)|[{_OPENED}{_CLOSED}]|\s+"
)
_WORD = re.compile(r"[^\W_]+")
_STILL_CLOSING = re.compile(r"\s*»(?!\w)")
_SHORT = re.compile(r"\b[^\W\d_]\.\s*\Z")
_ROMAN = re.compile("[ivxlcdm]{2,}")


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Behind these comes a name, a number or an example.
_NEVER = _words_of(
    """mr mrs ms mx messrs dr prof m mme mlle mgr ing mudr judr phdr e.g i.e z.b d.h u.a bzw vgl cf ca vs p.ex c.-à-d
    např tzv tj resp hr frl dhr mevr bijv sra srta dott"""
)
_BEFORE_NUMBERS = _words_of("""no nos nr num art abs abb fig sec vol bd kap ch pp čp par eq tel op""")
# A sentence may end with these, but seldom does.
_ABBREVIATIONS = _words_of(
    """st ste sr jr sen rep gov gen col lt sgt capt cmdr maj rev hon pres etc inc ltd co corp bros dept est min max
    approx apt ave blvd rd mt ft ex hrn dipl geb gest evtl ggf inkl exkl sog usw usf jh jhd hl tgl gem ev kath zzgl
    env boul sv nám ul doc mil tis kč atd apod aj jan feb apr aug sept oct okt nov dec dez"""
)
_BEGINNINGS = _words_of(
    """the a an this that these those he she it they we i you there here his her its their our my your two three
    several some many one but and so then when while in on at if as after what who why how where der die das ein
    eine er sie es wir ich ihr sein seine ihre dann und aber wenn als zwei drei mehrere im le la les un une des il
    elle ils elles nous je tu vous ce cette ces et mais puis deux trois plusieurs dans ten ta to ti tato tento ona
    ono oni jsou pak na dva dvě tři několik když el los las una él ella gli lo o os uma het een hij zij"""
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the space behind it: together they are the text. Each but one holds a word."""
    words = [match.span() for match in _WORD.finditer(text)]
    starts, small = [start for start, _ in words], text == text.lower()
    ends, first, depth = [0], 0, 0
    for event in _EVENT.finditer(text):
        for character in event[0]:
            depth = max(depth + (character in _OPENED) - (character in _CLOSED), 0)
        following = bisect_left(starts, event.end())
        if not first < following < len(words):
            continue
        if any(newline in event[0] for newline in NEWLINES):
            found, depth = True, 0
        elif event["unspaced"]:
            found = not depth and _ends_without_space(text, event)
        else:
            found = event[0].isspace() and _ends_before_space(
                text, event.start(), words[first][0], words[following], small
            )
        if found:
            ends.append(event.end())
            first = following
    return [text[start:end] for start, end in pairwise([*ends, len(text)])]


def _ends_without_space(text: str, event: re.Match[str]) -> bool:
    """Whether "。" and its like end a sentence: not where a quotation ends and the sentence around it goes on."""
    return not event["quote"] or bool(event["space"]) or text[event.end()] in _OPENED


def _ends_before_space(text: str, space: int, start: int, following: tuple[int, int], small: bool) -> bool:
    """Whether the sentence that begins at `start` ends at `space`; `small`: the whole text is in small letters."""
    closed = _start_of_run(text, space, _CLOSED_BEFORE_SPACE)
    if text[closed] == "»" and text[closed - 1 : closed].isspace():  # "« Attention ! »"
        closed -= 1
    marked = _start_of_run(text, closed, SPACED)
    mark, word = text[marked:closed], text[slice(*following)]
    if not mark or _STILL_CLOSING.match(text, space):
        return False
    ellipsis = mark.endswith(("..", "…"))
    if word[0].islower() and (not small or ellipsis or closed < space):
        return False
    if mark != ".":
        return True
    token_start = _token_start(text, marked)
    token = text[token_start:marked].lstrip(_OPENING).lower()
    behind = text[following[1] : following[1] + 1]
    if token in _NEVER or (word[0].isdigit() and (token in _BEFORE_NUMBERS or token.isdigit())):
        return False
    if not _may_be_shortened(token):
        return True
    if token.isdigit() and token_start <= start:  # the number of an item
        return False
    if _SHORT.search(text, max(token_start - 6, 0), token_start):  # the second half of "z. B.", "p. ex."
        return False
    return (word.lower() in _BEGINNINGS and behind != ".") or (len(word) == 1 and behind in ("'", "’"))


def _start_of_run(text: str, end: int, characters: str) -> int:
    """Where the run of these characters begins that ends there."""
    while end and text[end - 1] in characters:
        end -= 1
    return end


def _token_start(text: str, end: int) -> int:
    """Where the run of characters that are no space begins that ends there."""
    while end and not text[end - 1].isspace():
        end -= 1
    return end


def _may_be_shortened(token: str) -> bool:
    """Whether a full stop behind it may be no end: an abbreviation, an initial, an ordinal number."""
    if token in _ABBREVIATIONS or (token.isdigit() and len(token) <= 3) or _ROMAN.fullmatch(token):
        return True
    parts = token.split(".")
    shortest = 1 if len(parts) == 1 else 3
    return all(len(part) <= shortest for part in parts) and token.lower() != token.upper()
