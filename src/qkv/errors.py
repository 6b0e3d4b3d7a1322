"""The one exception that reaches a user: a single line that says what was wrong, where, and what to do."""


class QkvError(Exception):
    """Bad input. The command line prints it as `error: ...` and exits with status 1; no traceback."""
