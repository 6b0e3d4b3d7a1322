"""The one place from which text goes to a terminal: what would steer one, in a name or a label, is spelled out there.

Names of files, labels and captions are whatever a user downloaded. A terminal acts on the control characters in them;
and bytes of a name that are no UTF-8, which Python keeps as lone surrogates, cannot be written at all.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence

from qkv.json_text import json_text

# Controls but for line feed and tab, what turns the direction of text round, and lone surrogates.
_STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    r"""The text with escapes, such as `\x1b`, for what would steer a terminal or cannot be written to one."""
    return _STEERING.sub(lambda found: _escape(found[0]), text)


def one_line(text: str) -> str:
    """`escaped`, line feeds too, so that no name passes for a line of its own."""
    return escaped(text).replace("\n", "\\n")


def as_json(fields: Mapping[str, object] | Sequence[object]) -> str:
    """A JSON value on one line, which a terminal can be shown; its text stays legible, whatever the script."""
    return _STEERING.sub(lambda found: json.dumps(found[0])[1:-1], json_text(fields))


def show(text: str = "", *, to_stderr: bool = False) -> None:
    """Print a text, `escaped`."""
    print(escaped(text), file=sys.stderr if to_stderr else sys.stdout, flush=True)


def show_warnings() -> None:
    """Let warnings that nothing else takes be `one_line` each on standard error."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Formatter())


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a name that is no UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
