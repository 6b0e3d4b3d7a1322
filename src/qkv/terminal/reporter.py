"""Shows a person what work tells: lines, tables and, on a terminal, one line of how far it is and how long it takes."""

import time
from collections.abc import Callable
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segments
from rich.table import Table as RichTable
from rich.text import Text

from qkv.reporter import Reporter, Table, duration
from qkv.terminal.pace import Pace
from qkv.terminal.text import escaped, one_line

_SECONDS_BETWEEN_LINES = 30.0
_SHORTEST_BAR, _LONGEST_BAR, _SHORTEST = 10, 40, 12
_WIDEST = 100_000  # characters of a table that nothing hems in


class TerminalReporter(Reporter):
    """Writes to standard error. Where that is no terminal, progress is a line every half minute.

    There too, what will take longer than that says so as soon as it is known. A silent reporter writes nothing, as in
    all processes of a training but the first.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True, quiet=silent)
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self._shown: _Line | None = None
        self._live: Live | None = None
        self._last_event = self._last_line = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def say(self, text: str | Table) -> None:
        """Show a line, or a table."""
        if isinstance(text, Table):
            show_table(self._console, text)
            for note in text.notes:
                self._console.print(Text(one_line(note)))
        else:
            self._console.print(Text(one_line(text)), soft_wrap=True)

    def progress(self, what: str, done: int, total: int | None = None, status: str = "") -> None:
        """Show how far a part of the work is."""
        if self._console.quiet:
            return
        what, status = one_line(what), one_line(status)
        pace = self._measured(what, done)
        known_before = self._shown is not None and self._shown.what == what and self._shown.left is not None
        line = _Line(what, done, total, status, pace, self._clock)
        if self._console.is_terminal:
            self._show(line)
        elif done != total and (status or total is not None):
            since, left = self._clock() - self._last_line, line.left or 0.0
            if since > _SECONDS_BETWEEN_LINES or (left > _SECONDS_BETWEEN_LINES and not known_before):
                self._last_line = self._clock()
                self.say("  ".join(line.words))
        self._shown = line
        if done == total:
            self._end()
            self._paces.pop(what, None)

    def _measured(self, what: str, done: int) -> Pace:
        """The pace of a part; the time since the last event belongs to the part that was at work then."""
        now = self._clock()
        for name, pace in self._paces.items():
            if self._shown is not None and name == self._shown.what:
                pace.seconds += now - self._last_event
            else:
                pace.others += now - self._last_event
        self._last_event = now
        pace = self._paces.setdefault(what, Pace(done))
        pace.measure(done)
        return pace

    def _show(self, line: "_Line") -> None:
        if self._shown is not None and self._shown.what != line.what:
            self._end()
        if self._live is None:
            self._live = Live(line, console=self._console, transient=True)
            self._live.start()
        self._live.update(line)

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Line:
    """How far a part of the work is, in one line of whatever width: what is measured first, and the bar if it fits."""

    def __init__(
        self, what: str, done: int, total: int | None, status: str, pace: Pace, clock: Callable[[], float]
    ) -> None:
        self.what, self.done, self.total, self.status, self.pace = what, done, total, status, pace
        self.left = None if total is None else pace.left(total)
        self._clock, self._told = clock, clock()

    @property
    def words(self) -> list[str]:
        """What is told, the most important first."""
        count = f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,}" if self.done else ""
        left = "" if self.left is None else f"{duration(self.left)} left"
        return [word for word in (self.what, self.status, count, left) if word]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, since = options.max_width, self._clock() - self._told
        words = list(self.words)
        if self.left is not None:
            words[-1] = f"{duration(max(self.left - since, 0))} left"
        for place in (0, 1) if self.status else (0,):  # what is counted and the time that is left are never cut
            over = max(cell_len("  ".join(words)) - width, 0)
            words[place] = _shortened(words[place], max(cell_len(words[place]) - over, _SHORTEST))
        rate = "" if self.status or not self.pace.rate else f"{self.pace.rate:,.3g}/s"
        for extra in filter(None, (rate, duration(self.pace.seconds + since))):
            if cell_len("  ".join([*words, extra])) <= width:
                words.append(extra)
        room = width - cell_len("  ".join(words)) - 2
        if self.total and room >= _SHORTEST_BAR:
            grid = RichTable.grid(padding=(0, 2, 0, 0))
            bar = ProgressBar(self.total, self.done, width=min(room, _LONGEST_BAR))
            grid.add_row(Text("  ".join(words), no_wrap=True), bar)
            yield grid
        else:
            yield Text(_shortened("  ".join(words), width), no_wrap=True)


def _shortened(text: str, width: int) -> str:
    """A text of at most so many cells, its end cut off where it has more."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def show_table(console: Console, table: Table) -> None:
    """A table that fits a terminal, or has a line for each row where there is none; nothing of it is cut off."""
    drawn = to_rich(table)
    least, most = Measurement.get(console, console.options.update(max_width=_WIDEST), drawn)
    width = max(console.width, least if console.is_terminal else most)
    console.print(Segments(console.render(drawn, console.options.update(max_width=width))), crop=False)


def to_rich(table: Table) -> RichTable:
    """A table as rich draws it: numbers to the right, text to the left, nothing taken for markup."""
    title = Text(escaped(table.title)) if table.title else None
    drawn = RichTable(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for number, heading in enumerate(table.columns):
        cells = [row[number] for row in table.rows]
        numeric = number > 0 and all(not cell or cell[0].isdigit() or cell[0] in "-+" for cell in cells)
        whole = numeric or number == 0  # so are names, which are typed
        text = Text(escaped(heading))
        drawn.add_column(text, justify="right" if numeric else "left", no_wrap=whole, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(escaped(cell)) for cell in row))
    return drawn
