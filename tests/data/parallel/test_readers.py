"""Files of every kind to rows, and one clear line for each fault."""

import csv
import gzip
import io
from pathlib import Path
from typing import Literal

import pytest

from qkv.data.lines import read_lines
from qkv.data.parallel.config import CorpusConfig
from qkv.data.parallel.readers import measure, read_languages, read_rows
from qkv.errors import QkvError

ROWS = [("Hello.", "Hallo."), ("a\u2028b \x0b\x85 c", "é 한국"), ("", "leer"), ("NUL \x00", "x\ry")]


def rows_of(corpus: CorpusConfig) -> list[tuple[str, ...]]:
    return list(read_rows(corpus, read_languages(corpus)))


def write(path: Path, content: bytes) -> str:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_files_and_tables_hold_the_same_rows(tmp_path: Path, suffix: str, bom: bytes, end: str, last: bool) -> None:
    def content(lines: list[str]) -> bytes:
        return bom + (end.join(lines) + (end if last else "")).encode()

    files = {
        language: write(tmp_path / f"text.{language}{suffix}", content([row[side] for row in ROWS]))
        for side, language in enumerate(("en", "de"))
    }
    table = write(tmp_path / f"pairs.tsv{suffix}", content([f"{en}\t{de}\tCC-BY (someone)" for en, de in ROWS]))
    assert rows_of(CorpusConfig(files=files)) == ROWS
    assert rows_of(CorpusConfig(table=table, columns=["en", "de"])) == ROWS
    assert measure(CorpusConfig(files=files)) == (4, sum(len(en) for en, _ in ROWS))


def test_columns_of_a_table_can_be_ignored(tmp_path: Path) -> None:
    table = write(tmp_path / "pairs.tsv", b"1\tHello\t2\tHallo\n\n3\tYes\t4\tJa\n")
    corpus = CorpusConfig(table=table, columns=["_", "en", "_", "de"])
    assert rows_of(corpus) == [("Hello", "Hallo"), ("", ""), ("Yes", "Ja")]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_of_language_codes_names_the_columns_and_is_no_pair(tmp_path: Path, suffix: str) -> None:
    corpus = CorpusConfig(
        table=write(tmp_path / f"pairs.tsv{suffix}", b"\xef\xbb\xbfen\tpt-BR\tde\nYes\tSim\tJa\tmore\n")
    )
    assert read_languages(corpus) == ("en", "pt-BR", "de")
    assert rows_of(corpus) == [("Yes", "Sim", "Ja")]
    assert measure(corpus) == (1, 3)
    assert rows_of(CorpusConfig(table=corpus.table, columns=["en", "pt"])) == [("Yes", "Sim")]
    assert rows_of(CorpusConfig(table=corpus.table, columns=["en", "_", "de"])) == [("Yes", "Ja")]
    short = CorpusConfig(table=write(tmp_path / "short.tsv", b"en\tde\nYes\n"))
    with pytest.raises(QkvError, match=r"short.tsv, line 2: 1 tab-separated column, but .* need 2"):
        rows_of(short)


@pytest.mark.parametrize("first", ["en\tko", "EN\tKO\tnote", "en_US\tko", "source\ttarget"])
def test_a_header_is_no_pair_where_the_columns_are_named_too(first: str, tmp_path: Path) -> None:
    table = write(tmp_path / "pairs.tsv", f'{first}\n"Yes"\t"네"\tx\n'.encode())
    for columns in (["en", "ko"], ["EN", "ko"]):
        assert len(rows_of(CorpusConfig(table=table, columns=columns))) == 1


def test_a_header_in_another_order_is_refused_and_a_pair_is_no_header(tmp_path: Path) -> None:
    table = write(tmp_path / "pairs.tsv", "ko\ten\n네\tYes\n".encode())
    with pytest.raises(QkvError, match="line 1, names its columns ko, en, but they are said to be en, ko: give"):
        rows_of(CorpusConfig(table=table, columns=["en", "ko"]))
    for first in ("go\tva", "en\ten", "the source\tdie Quelle", "source\tsource", "en\tund"):
        table = write(tmp_path / "pairs.tsv", f"{first}\nYes\tJa\n".encode())
        assert len(rows_of(CorpusConfig(table=table, columns=["en", "de"]))) == 2


def as_a_spreadsheet_writes(rows: list[tuple[str, ...]], quoting: Literal[0, 1]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, "excel-tab", quoting=quoting).writerows(rows)
    return file.getvalue().encode()


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_quotation_marks_of_a_spreadsheet_are_not_of_the_text(quoting: Literal[0, 1], tmp_path: Path) -> None:
    pairs = [("She said.", "Sie sagte."), ('He said "hi".', '"Hallo", sagte er.'), ('""', '"'), ("x", "")]
    table = write(tmp_path / "pairs.tsv", as_a_spreadsheet_writes(pairs, quoting))
    assert rows_of(CorpusConfig(table=table, columns=["en", "de"])) == pairs
    headed = write(tmp_path / "headed.tsv", as_a_spreadsheet_writes([("en", "de"), *pairs], quoting))
    assert rows_of(CorpusConfig(table=headed)) == pairs


@pytest.mark.parametrize(
    "more",
    ['"Who is it?"\t"Wer ist da?"', 'a "b"\tc', '"a\tb', 'a\t"b" c "d"', '"a ""b"" c"\t5" d', '""a""\tb'],
)
def test_quotation_marks_of_sentences_stay(more: str, tmp_path: Path) -> None:
    """Sentences that are a quotation, that open one, or close one, as in text that no spreadsheet wrote."""
    lines = ["Yes\tJa", '"Go."\t"Geh."', more]
    table = write(tmp_path / "pairs.tsv", "\n".join(lines).encode())
    assert rows_of(CorpusConfig(table=table, columns=["en", "de"])) == [tuple(line.split("\t")) for line in lines]


@pytest.mark.parametrize("first", ["Yes\tJa", "en", "en\ten", "en\t", "en\tde\tCC-BY", ""])
def test_what_is_no_header_needs_columns(tmp_path: Path, first: str) -> None:
    table = write(tmp_path / "pairs.tsv", f"{first}\nYes\tJa\n".encode())
    with pytest.raises(QkvError, match=r"say which languages the columns of .*pairs.tsv hold: columns: \[en, ko\]"):
        rows_of(CorpusConfig(table=table))


def test_jsonl_flat_and_nested(tmp_path: Path) -> None:
    lines = b'{"id": 1, "en": "Hi", "ko": "\\uc548"}\n\n{"translation": {"en": "\\ud800", "ko": "b\\n", "de": "c"}}\n'
    table = write(tmp_path / "pairs.jsonl", lines)
    expected = [("Hi", "안"), ("", ""), ("\ufffd", "b\n")]
    assert rows_of(CorpusConfig(table=table)) == expected
    assert rows_of(CorpusConfig(table=table, columns=["ko", "en"])) == [row[::-1] for row in expected]


def test_different_line_counts_are_both_named(tmp_path: Path) -> None:
    files = {"en": write(tmp_path / "a", b"1\n2\n3\n"), "de": write(tmp_path / "b", b"1\n2")}
    with pytest.raises(QkvError, match=r"a has 3 lines, .*b has 2 lines: .* equal$"):
        rows_of(CorpusConfig(files=files))


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"abc\nd\xffe\n", r"byte 5 \(line 2\)"),
        (b"\xef\xbb\xbfabc\r\n\xc3", r"byte 8 \(line 2\)"),
        ("zwölf\n".encode("utf-16"), r"byte 0 \(line 1\)"),
    ],
)
def test_invalid_utf8_is_located(tmp_path: Path, content: bytes, where: str) -> None:
    with pytest.raises(QkvError, match=rf"text is not UTF-8: {where} is invalid; convert"):
        list(read_lines(Path(write(tmp_path / "text", content))))
    with pytest.raises(QkvError, match=r"of the unpacked text \(line"):
        list(read_lines(Path(write(tmp_path / "text.gz", content))))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match="missing does not exist: check the path"):
        list(read_lines(tmp_path / "missing"))
    with pytest.raises(QkvError, match=r"cannot read .*: Is a directory"):
        list(read_lines(tmp_path))
    for damaged in (b"plain text", gzip.compress(b"text" * 1000)[:-12], gzip.compress(b"a")[:12] + b"\x07\x07"):
        path = tmp_path / "damaged.gz"
        path.write_bytes(damaged)
        with pytest.raises(QkvError, match="damaged or no gzip file"):
            list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"en": "a", "ko": "b"}\n{"en": "a"}\n', "line 2: 'ko' is missing"),
        (b'{"en": "a", "ko": "b"}\n{"en": 1, "ko": "b"}\n', "line 2: 'en' is no text"),
        (b'{"en": "a", "ko": "b"}\nen ko\n', "line 2: not JSON"),
        (b"[1, 2]\n", "line 1: not an object"),
        (b'{"en": "a"}\n', "line 1: needs texts in two languages"),
        (b"", "is empty"),
    ],
)
def test_faults_of_jsonl(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(QkvError, match=message):
        rows_of(CorpusConfig(table=write(tmp_path / "pairs.jsonl", content)))


def test_short_line_of_a_table(tmp_path: Path) -> None:
    table = write(tmp_path / "pairs.tsv", b"a\tb\nc\n")
    with pytest.raises(QkvError, match=r"pairs.tsv, line 2: 1 tab-separated column, but .* need 2"):
        rows_of(CorpusConfig(table=table, columns=["en", "de"]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "either files or a table"),
        ({"files": {"en": "a", "de": "b"}, "table": "c.tsv"}, "either files or a table"),
        ({"files": {"en": "a"}}, "at least two languages"),
        ({"files": {"en": "a", "de": "b"}, "columns": ["en", "de"]}, "columns belong to a table"),
        ({"table": "c.tsv", "columns": ["en", "en"]}, "two or more different"),
        ({"table": "c.jsonl", "columns": ["en", "_"]}, "two or more different"),
    ],
)
def test_contradictory_sources_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorpusConfig(**fields)
