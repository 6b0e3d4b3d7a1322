import json
import math

import pytest

from qkv.errors import QkvError
from qkv.json_text import json_text


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_what_is_written_is_read_by_a_strict_reader() -> None:
    value = {"score": -1.25, "text": "하나 \u2028", "n_best": [{"a": None}], "large": 1e300}
    for ascii_only in (False, True):
        assert json.loads(json_text(value, ascii_only=ascii_only), parse_constant=_refuse) == value
    assert json_text("\udcff", ascii_only=True).isascii()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_in_one_line(number: float) -> None:
    with pytest.raises(QkvError, match="weights are damaged"):
        json_text({"scores": [0.5, number]})
