"""Progress bars."""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    Show = Callable[[str, int, int], None]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def progress_bar(unit: str) -> Progress:
    """A bar on standard error, with rate and time left; nothing where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


_NAMED = 10


@contextmanager
def progress_of_stages() -> "Iterator[Show]":
    """A progress bar for each of several stages, which is there once something of it is done."""
    from qkv.terminal.progress import progress_bar

    with progress_bar("pictures") as bar:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show


def name_left_out(lines: "Sequence[str]") -> None:
    """Say on standard error what is left out: the first few, and how many more there are."""
    for line in lines[:_NAMED]:
        print(f"left out: {line}", file=sys.stderr)
    if len(lines) > _NAMED:
        print(f"left out: {len(lines) - _NAMED:,} more", file=sys.stderr)
