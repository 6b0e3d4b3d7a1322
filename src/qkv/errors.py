"""The one exception that reaches a user: a single line that says what was wrong, where, and what to do."""

import reprlib


class QkvError(Exception):
    """Bad input. The command line prints it as `error: ...` and exits with status 1; no traceback."""


def one_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return str(error).strip().partition("\n")[0].strip() or type(error).__name__


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, 80, 80
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 3

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a number of {x.bit_length():,} bits"


def shown(value: object) -> str:
    """What a message shows of a value that may be anything: on one line, short, however large or nested it is."""
    return _Short().repr(value)
