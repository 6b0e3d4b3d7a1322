"""What a person at a terminal would read of what work tells."""

from io import StringIO

from rich.console import Console

from qkv.reporter import Reporter, Table
from qkv.terminal.reporter import TerminalReporter


def listening(width: int = 200) -> tuple[Reporter, StringIO]:
    """A reporter, and where it writes."""
    file = StringIO()
    return TerminalReporter(Console(file=file, width=width)), file


def written(text: str | Table, width: int = 200) -> str:
    """What a reporter writes of a text or a table."""
    reporter, file = listening(width)
    reporter.say(text)
    return file.getvalue()
