"""Files of parallel text, row by row. Lines end at a line feed alone: U+2028 and its like belong to a sentence."""

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from qkv.data.lines import read_lines
from qkv.data.parallel.config import IGNORED, CorpusConfig
from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError


def read_languages(corpus: CorpusConfig) -> tuple[str, ...]:
    """Languages of a corpus: those that the configuration names, or the keys of the first line of JSONL.

    Raises:
        QkvError: the first line is missing or has fewer than two texts.
    """
    if corpus.files is not None:
        return tuple(corpus.files)
    if corpus.columns is not None:
        return tuple(column for column in corpus.columns if column != IGNORED)
    [path] = corpus.paths
    for line in read_lines(path):
        languages = tuple(key for key, value in _json_row(path, 1, line).items() if isinstance(value, str))
        if len(languages) < 2:
            raise QkvError(f"{path}, line 1: needs texts in two languages or more, has {list(languages)}")
        return languages
    raise QkvError(f"{path} is empty: it must hold at least one line")


def read_rows(corpus: CorpusConfig, languages: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The texts of each line, in the order of `languages`. A blank line of a table is a row of empty texts.

    Raises:
        QkvError: the files are unreadable, of different lengths or malformed.
    """
    if corpus.files is not None:
        yield from _aligned(corpus.paths)
    elif corpus.is_jsonl:
        yield from _jsonl(corpus.paths[0], languages)
    else:
        yield from _tab_separated(corpus.paths[0], corpus.columns or [])


def _aligned(paths: list[Path]) -> Iterator[tuple[str, ...]]:
    readers = [read_lines(path) for path in paths]
    for number, row in enumerate(zip_longest(*readers)):
        if None in row:
            counts = [number if text is None else number + 1 + sum(1 for _ in rest) for text, rest in zip(row, readers)]
            said = ", ".join(f"{path} has {count:,} lines" for path, count in zip(paths, counts))
            raise QkvError(f"{said}: line n of each must say the same, so the counts must be equal")
        yield row


def _tab_separated(path: Path, columns: list[str]) -> Iterator[tuple[str, ...]]:
    wanted = [index for index, column in enumerate(columns) if column != IGNORED]
    blank = ("",) * len(wanted)
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) < len(columns) and line.strip():
            raise QkvError(
                f"{path}, line {number}: {len(cells)} tab-separated column{'s' * (len(cells) > 1)}, but columns "
                f"{columns} need {len(columns)}; correct the line or the columns"
            )
        yield tuple(cells[index] for index in wanted) if line.strip() else blank


def _jsonl(path: Path, languages: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    blank = ("",) * len(languages)
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            yield blank
            continue
        row = _json_row(path, number, line)
        for language in languages:
            if not isinstance(row.get(language), str):
                fault = "is no text" if language in row else "is missing"
                raise QkvError(f'{path}, line {number}: {language!r} {fault}; write {{"{language}": "...", ...}}')
        yield tuple(without_surrogates(row[language]) for language in languages)


def _json_row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise QkvError(f"{path}, line {number}: not JSON ({error}); write one object a line") from error
    row = row.get("translation", row) if isinstance(row, dict) else row
    if not isinstance(row, dict):
        raise QkvError(f'{path}, line {number}: not an object; write {{"en": "...", "ko": "..."}}')
    return row
