"""JSON that every reader takes: it has no NaN and no infinity, which Python writes and others refuse."""

import json

from qkv.errors import QkvError


def json_text(value: object, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """A value as JSON; a QkvError if a number in it is infinite or none, as only a damaged model computes."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    except ValueError as error:
        if "JSON compliant" not in str(error):
            raise
        said = "the result holds a number that is infinite or none (NaN), which JSON has no word for"
        raise QkvError(f"{said}: the model's weights are damaged, or it overflows") from error
