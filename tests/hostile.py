"""Texts that break programs which were only ever shown sentences."""

import random

ALPHABETS = {
    "letters": "abcdefgh",
    "words": "ab cd e",
    "sentences": "ab. C! d? ",
    "controls": "".join(map(chr, range(32))).replace("\n", "") + "\x7f\x85\x9b",
    "emoji": "😀👩‍👩‍👧‍👦🇩🇪❤️",
    "right to left": "שלום עולם، مرحبا؟ \u202e\u200f",
    "ideographs": "漢字。仮名、ハン！",
    "marks": "\u0301\u0308\u200d",
    "thai": "สวัสดี",
    "dots": "....!",
    "commas": ",,;",
    "spaces": " \t\u00a0\u3000\u2028",
    "nul": "\0",
    "surrogates": "\ud800\udfff",
    "compatibility": "ﷺ㍿①",
    "everything": "a.\0 😀漢。\u0301\ud800ש",
}


def text(alphabet: str, length: int, seed: int = 0) -> str:
    """`length` random characters of an alphabet."""
    return "".join(random.Random(seed).choices(ALPHABETS[alphabet], k=length))


def hostile_lines(n: int, longest: int) -> list[str]:
    """n lines without a line feed; every alphabet, every length from 0 to `longest`, mostly short."""
    names = list(ALPHABETS)
    lengths = [0, 1, 2, 7, 40]
    result = [text(names[i % len(names)], lengths[i % len(lengths)], seed=i) for i in range(n)]
    for i, name in enumerate(names):  # two long lines of each kind, far apart
        result[(2 * i + 1) * n // (2 * len(names))] = text(name, longest, seed=i)
    return result
