"""Files of parallel text, row by row. Lines end at a line feed alone: U+2028 and its like belong to a sentence."""

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path

from qkv.data.cache import file_state
from qkv.data.lines import read_lines
from qkv.data.parallel.config import IGNORED, CorpusConfig
from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError

_LANGUAGE = re.compile("[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_SIDES = frozenset({"source", "target", "src", "tgt", "trg", "sentence", "translation"})
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def is_language(name: str) -> bool:
    """Whether it may be the code of a language, such as "en" or "pt-BR"."""
    return bool(_LANGUAGE.fullmatch(name))


def read_languages(corpus: CorpusConfig) -> tuple[str, ...]:
    """Languages of a corpus: those that the configuration names, or else what the first line of a table tells.

    That is a header of language codes in tab-separated text, and an object whose keys they are in JSONL.
    """
    if corpus.files is not None:
        return tuple(corpus.files)
    if corpus.columns is not None:
        return tuple(column for column in corpus.columns if column != IGNORED)
    [path] = corpus.paths
    if (line := next(read_lines(path), None)) is None:
        raise QkvError(f"{path} is empty: it must hold at least one line")
    if not corpus.is_jsonl:
        header = tuple(_cells(line, is_quoted(path)))
        if len(set(header)) < max(len(header), 2) or not all(map(is_language, header)):
            said = "columns: [en, ko], or a first line of their codes"
            raise QkvError(f"say which languages the columns of {path} hold: {said}")
        return header
    languages = tuple(key for key, value in _json_row(path, 1, line).items() if isinstance(value, str))
    if len(languages) < 2:
        raise QkvError(f"{path}, line 1: needs texts in two languages or more, has {list(languages)}")
    return languages


def read_rows(corpus: CorpusConfig, languages: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The texts of each line, in the order of `languages`. A blank line of a table is a row of empty texts."""
    if corpus.files is not None:
        yield from _aligned(corpus.paths)
    elif corpus.is_jsonl:
        yield from _jsonl(corpus.paths[0], languages)
    else:
        yield from _tab_separated(corpus.paths[0], corpus.columns or list(languages), has_header(corpus))


def has_header(corpus: CorpusConfig) -> bool:
    """Whether the first line of a corpus names its columns and is no pair, which it does in tab-separated text alone.

    Raises:
        QkvError: it names the languages of `columns` in another order.
    """
    if corpus.table is None or corpus.is_jsonl or corpus.columns is None:
        return corpus.table is not None and not corpus.is_jsonl
    [path] = corpus.paths
    cells = _cells(next(read_lines(path), ""), is_quoted(path))
    both = [(cell, name) for cell, name in zip(cells, corpus.columns) if name != IGNORED]
    named, asked = ([re.split("[-_]", name.strip().lower())[0] for name in names] for names in zip(*both))
    if named != asked and sorted(named) == sorted(asked):
        said = f"columns {', '.join(named)}, but they are said to be {', '.join(asked)}"
        raise QkvError(f"{path}, line 1, names its {said}: give columns in the order of the file")
    return named == asked or (len({*named}) == len(asked) and {*named} <= _SIDES)


def is_quoted(path: Path) -> bool:
    """Whether tab-separated text is as spreadsheets write it: cells between quotation marks, those in them doubled.

    All cells with a mark must be so, and one have a doubled one in it, or else all cells be so: in other text marks
    are a sentence's own, and some sentences are a quotation from end to end.
    """
    return _is_quoted(path, *file_state(path))


@cache
def _is_quoted(path: Path, *_: int) -> bool:
    doubled, bare, between = False, False, False
    for line in read_lines(path):
        if '"' not in line:
            bare = bare or bool(line.strip())
            continue
        for cell in line.split("\t"):
            if '"' in cell and not _QUOTED.fullmatch(cell):
                return False
            between = between or '"' in cell
            bare = bare or '"' not in cell
            doubled = doubled or '""' in cell[1:-1]
    return doubled or (between and not bare)


def _cells(line: str, quoted: bool) -> list[str]:
    cells = line.split("\t")
    return [cell[1:-1].replace('""', '"') if cell[:1] == '"' else cell for cell in cells] if quoted else cells


def measure(corpus: CorpusConfig) -> tuple[int, int]:
    """Lines of a corpus, and the characters of its longest language; a QkvError if there is nothing to train on."""
    languages = read_languages(corpus)
    lines, characters = 0, [0] * len(languages)
    for row in read_rows(corpus, languages):
        lines += 1
        characters = [count + len(text) for count, text in zip(characters, row)]
    if not lines:
        raise QkvError(f"{corpus.name} is empty: it must hold at least one line")
    return lines, max(characters)


def _aligned(paths: list[Path]) -> Iterator[tuple[str, ...]]:
    readers = [read_lines(path) for path in paths]
    for number, row in enumerate(zip_longest(*readers)):
        if None in row:
            counts = [number if text is None else number + 1 + sum(1 for _ in rest) for text, rest in zip(row, readers)]
            said = ", ".join(f"{path} has {count:,} lines" for path, count in zip(paths, counts))
            raise QkvError(f"{said}: line n of each must say the same, so the counts must be equal")
        yield row


def _tab_separated(path: Path, columns: list[str], header: bool) -> Iterator[tuple[str, ...]]:
    wanted = [index for index, column in enumerate(columns) if column != IGNORED]
    quoted = is_quoted(path)
    for number, line in islice(enumerate(read_lines(path), 1), int(header), None):
        cells = _cells(line, quoted)
        if len(cells) < len(columns) and line.strip():
            has = f"{len(cells)} tab-separated column{'s' * (len(cells) > 1)}"
            need = f"but columns {columns} need {len(columns)}; correct the line or the columns"
            raise QkvError(f"{path}, line {number}: {has}, {need}")
        yield tuple(cells[index] if line.strip() else "" for index in wanted)


def _jsonl(path: Path, languages: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            yield ("",) * len(languages)
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
