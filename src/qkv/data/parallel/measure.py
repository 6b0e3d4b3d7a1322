"""What parallel text is like, without preparing it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from qkv.data.parallel.config import CorpusConfig
from qkv.data.parallel.readers import read_languages, read_rows
from qkv.errors import QkvError


class Measure(NamedTuple):
    """What a corpus is like: its lines, and the characters of its longest language."""

    lines: int
    characters: int


def measure(corpus: CorpusConfig | Mapping[str, Any]) -> Measure:
    """Read a corpus.

    Raises:
        QkvError: it is unreadable, malformed or empty.
    """
    corpus = corpus if isinstance(corpus, CorpusConfig) else CorpusConfig(**corpus)
    languages = read_languages(corpus)
    lines, characters = 0, [0] * len(languages)
    for row in read_rows(corpus, languages):
        lines += 1
        characters = [count + len(text) for count, text in zip(characters, row)]
    if not lines:
        raise QkvError(f"{corpus.name} is empty: it must hold at least one line")
    return Measure(lines, max(characters))
