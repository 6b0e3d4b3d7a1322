"""Shows a person what work tells: lines, tables and, on a terminal, a bar with rate and time left."""

import time
from typing import Self

from rich import progress as bars
from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table as RichTable
from rich.text import Text

from qkv.reporter import Reporter, Table

_SECONDS_BETWEEN_LINES = 30.0
_WIDEST = 100_000  # characters of a table that nothing hems in


class TerminalReporter(Reporter):
    """Writes to standard error. Where that is no terminal, progress with a status is a line every half minute.

    A silent one writes nothing, as in all processes of a training but the first.
    """

    def __init__(self, console: Console | None = None, *, silent: bool = False) -> None:
        self._console = console or Console(stderr=True, quiet=silent)
        self._bar: bars.Progress | None = None
        self._part = ""
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end_bar()

    def say(self, text: str | Table) -> None:
        """Show a line, or a table."""
        if isinstance(text, Table):
            show_table(self._console, text)
            for note in text.notes:
                self._console.print(Text(note))
        else:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def progress(self, what: str, done: int, total: int | None = None, status: str = "") -> None:
        """Show how far a part of the work is."""
        if not self._console.is_terminal:
            if status and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
                self._last_line = time.monotonic()
                self.say(f"{what}  {done}/{total}  {status}")
            return
        if self._bar is None or self._part != what:
            self._end_bar()
            self._part, self._bar = what, self._new_bar(what, done)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, status=status)
        if done == total:
            self._end_bar()

    def _new_bar(self, what: str, done: int) -> bars.Progress:
        text = bars.TextColumn
        past = bars.SpinnerColumn(), text("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), _Rate()
        time_ = text("{task.fields[status]}"), bars.TimeElapsedColumn(), text("left"), bars.TimeRemainingColumn()
        bar = bars.Progress(*past, *time_, console=self._console, transient=True)
        bar.add_task(what, total=None, completed=done, status="")
        bar.start()
        return bar

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Rate(bars.ProgressColumn):
    def render(self, task: bars.Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def show_table(console: Console, table: Table) -> None:
    """A table that fits a terminal, or has a line for each row where there is none; nothing of it is cut off."""
    drawn = to_rich(table)
    least, most = Measurement.get(console, console.options.update(max_width=_WIDEST), drawn)
    width = max(console.width, least if console.is_terminal else most)
    console.print(Segments(console.render(drawn, console.options.update(max_width=width))), crop=False)


def to_rich(table: Table) -> RichTable:
    """A table as rich draws it: numbers to the right, text to the left, nothing taken for markup."""
    drawn = RichTable(title=table.title or None, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for number, heading in enumerate(table.columns):
        cells = [row[number] for row in table.rows]
        numeric = number > 0 and all(not cell or cell[0].isdigit() or cell[0] in "-+" for cell in cells)
        whole = numeric or number == 0  # so are names, which are typed
        drawn.add_column(Text(heading), justify="right" if numeric else "left", no_wrap=whole, overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return drawn
