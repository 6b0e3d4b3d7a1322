"""What a person at a terminal would read of what work tells."""

from io import StringIO

from rich.console import Console

from qkv.reporter import Reporter, Table
from qkv.terminal.reporter import TerminalReporter


class Heard(Reporter):
    """Writes down what is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int | None, str]] = []

    def progress(self, what: str, done: int, total: int | None = None, status: str = "") -> None:
        self.told.append((what, done, total, status))


def listening(width: int = 200) -> tuple[Reporter, StringIO]:
    """A reporter, and where it writes."""
    file = StringIO()
    return TerminalReporter(Console(file=file, width=width)), file


def written(text: str | Table, width: int = 200) -> str:
    """What a reporter writes of a text or a table."""
    reporter, file = listening(width)
    reporter.say(text)
    return file.getvalue()
