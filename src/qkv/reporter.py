"""What work tells while it runs, without knowing who listens: a terminal, a log, or nobody."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Attributes:
        columns: the headings; the first may be empty, and heads the names of the rows.
        rows: a cell for each column.
        title: above the table.
        notes: lines below it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()


def duration(seconds: float) -> str:
    """A length of time, for a person: 0:07, 12:34, 1:02:03, or days."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Reporter:
    """Listens to work. This one is silent; `qkv.terminal.reporter` has one that shows what it hears to a person."""

    def say(self, text: str | Table) -> None:
        """Hear a line, or a table."""

    def progress(self, what: str, done: int, total: int | None = None, status: str = "") -> None:
        """Hear how far a part of the work, such as "reading pairs.tsv", is; another name is another part.

        The part is over when the total, if known, is done, or when another one begins. The status is what is to be
        known of it besides, such as the loss.
        """

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """The items, each told as done when the next one is asked for."""
        for done, item in enumerate(items, 1):
            yield item
            self.progress(what, done, total)


SILENT = Reporter()
