"""The one exception that reaches a user: a single line that says what was wrong, where, and what to do."""


class QkvError(Exception):
    """Bad input. The command line prints it as `error: ...` and exits with status 1; no traceback."""


def one_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return str(error).strip().partition("\n")[0].strip() or type(error).__name__
