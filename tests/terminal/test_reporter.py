"""Progress for a person: numbers first, time left from the second step on, in whatever width; and lines in a log."""

from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from qkv.reporter import duration
from qkv.terminal.pace import Pace
from qkv.terminal.reporter import TerminalReporter

STATUS = "loss 2.345  accuracy 0.812  1,234 images/s  best accuracy 91.23"


class Watched:
    """A reporter that works by a clock of its own, and what it shows."""

    def __init__(self, width: int = 100, terminal: bool = True) -> None:
        self.now, self.file, self.width = 0.0, StringIO(), width
        console = Console(file=self.file, width=width, force_terminal=terminal, color_system=None)
        self.reporter = TerminalReporter(console, clock=lambda: self.now)

    def after(self, seconds: float, what: str, done: int, total: int | None = None, status: str = "") -> str:
        """The line that is shown when so many seconds later so many are done."""
        self.now += seconds
        self.reporter.progress(what, done, total, status)
        console = Console(file=StringIO(), width=self.width, force_terminal=True, color_system=None)
        console.print(self.reporter._shown)
        [line] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert cell_len(line) <= self.width
        return line.rstrip()


@pytest.mark.parametrize("width", [98, 100, 120, 200])
def test_numbers_come_first_and_are_whole(width: int) -> None:
    watched = Watched(width)
    with watched.reporter:
        watched.after(0, "the first step", 0)
        watched.after(1, "training", 1, 10_000)
        line = watched.after(1, "training", 2, 10_000, STATUS)
    assert line.startswith(f"training  {STATUS}  2/10,000  2:46:38 left")


@pytest.mark.parametrize("width", [24, 40, 60, 80])
def test_on_a_narrow_terminal_the_line_is_cut_and_stays_one_line(width: int) -> None:
    watched = Watched(width)
    with watched.reporter:
        for step in range(4):
            line = watched.after(1, "training", step, 9, STATUS)
        assert line.startswith("training  loss 2.345") and "…" in line
        if width >= 60:
            assert line.endswith("3/9  0:06 left")
        long = watched.after(1, "reading /a/very/long/way/to/a/file/of/字/sentences.tsv", 5, status="日本語" * 30)
        assert long.startswith("reading")


def test_time_left_is_known_from_the_second_step_on_and_the_first_does_not_count() -> None:
    watched = Watched()
    with watched.reporter:
        watched.after(0, "the first step", 0)
        assert "left" not in watched.after(60, "training", 501, 1000)  # of a run that goes on; the first is slow
        assert "  502/1,000  1:23:00 left" in watched.after(10, "training", 502, 1000)
        assert "  503/1,000  1:22:50 left" in watched.after(10, "training", 503, 1000)
        watched.now += 30  # nothing comes; the clock runs
        console = Console(file=StringIO(), width=100)
        console.print(watched.reporter._shown)
        assert "1:22:20 left" in console.file.getvalue()  # type: ignore[attr-defined]


def test_validations_are_counted_for_what_is_left_but_not_for_the_rate() -> None:
    watched = Watched()
    with watched.reporter:
        for step in range(101):
            line = watched.after(1, "training", step, 1000)
        assert "15:00 left" in line
        watched.after(0, "validating", 0)
        assert "0:50" in watched.after(50, "validating", 0)
        line = watched.after(1, "training", 101, 1000)
    # 899 seconds of steps, and half a second of validation for each of them
    assert "  101/1,000  22:3" in line or "  101/1,000  22:2" in line
    assert Pace(0).left(5) is None and Pace(5).rate is None


def test_the_rate_follows_what_is_recent() -> None:
    pace = Pace(0)
    for step in range(1, 1001):
        pace.seconds += 0.2 if step <= 500 else 2.0
        pace.measure(step)
    assert pace.rate == pytest.approx(0.5)
    quick = Pace(0)
    for step in range(1, 100_001):
        quick.seconds += 1e-4
        quick.measure(step)
    assert quick.rate == pytest.approx(1e4) and len(quick._measured) < 200


def test_parts_that_are_over_are_forgotten() -> None:
    watched = Watched()
    with watched.reporter:
        for _ in range(2):
            assert "left" not in watched.after(5, "tokenizing", 10, 30)
            assert "0:01 left" in watched.after(1, "tokenizing", 20, 30)
            watched.after(1, "tokenizing", 30, 30)


def test_where_nobody_looks_long_work_tells_how_long_and_short_work_nothing() -> None:
    watched = Watched(terminal=False)
    with watched.reporter:
        for done in (10, 20, 30):
            watched.after(1, "short", done, 30)
        assert watched.file.getvalue() == ""
        for done in range(10, 301, 10):
            watched.after(5, "tokenizing pairs.tsv", done, 300)
        lines = watched.file.getvalue().splitlines()
        assert lines[0] == "tokenizing pairs.tsv  20/300  2:20 left"  # as soon as it is known
        assert 4 <= len(lines) <= 6 and lines[-1].startswith("tokenizing pairs.tsv  ")  # then every half minute
        for step in range(1, 40):
            watched.after(2, "training", step, 40, "loss 1.000")
        assert "training  loss 1.000  2/40  1:16 left" in watched.file.getvalue()


def test_a_silent_reporter_says_nothing() -> None:
    watched = Watched()
    watched.reporter._console.quiet = True
    with watched.reporter:
        watched.reporter.progress("training", 1, 2, STATUS)
        watched.reporter.say("hello")
    assert watched.file.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03"), (200_000, "2 days")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
