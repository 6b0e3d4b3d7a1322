"""What reaches a terminal: nothing that steers it, whatever names, labels and captions hold."""

import ast
import json
import logging
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hostile import hostile_lines
from qkv.reporter import Table
from qkv.terminal.output import name_left_out, print_json, print_table, write_json
from qkv.terminal.reporter import TerminalReporter
from qkv.terminal.text import as_json, escaped, one_line, show, show_warnings
from reporters import written

SOURCE = Path(__file__).resolve().parent.parent.parent / "src" / "qkv"
NAME = "a\x1b[31m\r\x9b2J\x07\udcff\ud800\u202e[red]x[/] :smile: b"
SHOWN = r"a\x1b[31m\x0d\x9b2J\x07\xff\ud800\u202e[red]x[/] :smile: b"


def steers(text: str) -> bool:
    kinds = (unicodedata.category(character) for character in text if character not in "\n\t")
    return any(kind in ("Cc", "Cs") for kind in kinds) or "\u202e" in text


LEGIBLE = [
    "plain",
    "한국어, 漢字 é",
    "👩\u200d👩\u200d👧 ❤\ufe0f",
    "two\n\tlines",
    "نمی\u200cخواهم",
    "a\u2028b\u00a0c",
    "[red] [/]",
]


@pytest.mark.parametrize("text", LEGIBLE)
def test_what_steers_nothing_is_shown_as_it_is(text: str) -> None:
    assert escaped(text) == text
    assert json.loads(as_json({"text": text})) == {"text": text} and text.split("\n")[0] in as_json({"text": text})


def test_hostile_text_is_spelled_out_and_in_json_stays_itself() -> None:
    for line in [NAME, *hostile_lines(200, 300)]:
        shown = escaped(line)
        shown.encode()
        assert not steers(shown)
        assert not steers(as_json({line: line}))
        told = line.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # two may be one character
        assert json.loads(as_json({"text": line})) == {"text": told}
    assert escaped(NAME) == SHOWN
    assert one_line("a\nerror: b") == r"a\nerror: b"


@pytest.mark.parametrize("terminal", [False, True])
def test_reporters_take_no_name_for_markup_and_no_escape_for_theirs(terminal: bool) -> None:
    file = StringIO()
    console = Console(file=file, width=300, force_terminal=terminal, color_system=None, legacy_windows=False)
    with TerminalReporter(console) as reporter:
        reporter.say(f"{NAME}\nerror: forged")
        reporter.say(Table((NAME, "n"), [(NAME, "1")], NAME, (NAME,)))
        for done in (1, 2):
            reporter.progress(f"checking {NAME} [/nothing]", done, 2, NAME)
    shown = file.getvalue()
    assert shown.count(SHOWN) >= 5
    assert rf"{SHOWN}\nerror: forged" in shown
    assert "\x1b[31m" not in shown and not any(c in shown for c in "\x9b\x07\u202e\udcff")


def test_tables_keep_their_lines() -> None:
    lines = written(Table(("a\nb", "c"), [("1\n2", "3")], "one\ntwo")).split("\n")
    assert [line.split() for line in lines[:6]] == [["one"], ["two"], ["a"], ["b", "c"], ["1", "3"], ["2"]]


def test_output_and_warnings_are_escaped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    show(NAME)
    show(NAME, to_stderr=True)
    print_json({"file": NAME})
    print_table(Table(("",), [(NAME,)]))
    name_left_out([f"{NAME}\nx"])
    out, err = capsys.readouterr()
    lines = out.split("\n")
    assert lines[0] == SHOWN and json.loads(lines[1]) == {"file": NAME} and SHOWN in lines[3]
    assert err == f"{SHOWN}\nleft out: {SHOWN}\\nx\n"
    write_json(tmp_path / "t.json", {"file": NAME})
    assert json.loads((tmp_path / "t.json").read_bytes()) == {"file": NAME}
    show_warnings()
    assert logging.lastResort is not None
    record = logging.LogRecord("qkv", logging.WARNING, "", 0, "%s is odd", (f"{NAME}\nx",), None)
    assert logging.lastResort.format(record) == rf"{SHOWN}\nx is odd"


def test_all_that_is_printed_goes_through_it() -> None:
    """`print` is called where text is escaped, and nowhere else."""
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert [place.split(":")[0] for place in found] == ["terminal/text.py"], "use qkv.terminal.text.show"
