"""Learning a vocabulary says beforehand how long it takes, by a rate that is measured on the spot."""

import re

import pytest

from qkv.data.text import vocabulary
from qkv.data.text.tokenizer import TokenizerConfig
from reporters import Heard
from tiny import lines


def test_much_text_tells_its_time_from_a_twentieth_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    def seconds(some: object, config: TokenizerConfig) -> float:
        tried.append(list(some))  # type: ignore[call-overload]
        return 7.0

    monkeypatch.setattr(vocabulary, "seconds_to_learn", seconds)
    reporter, many = Heard(), lines("en", 200_000)
    vocabulary.tell_of_learning(many, len(many), TokenizerConfig(), reporter)
    assert [len(some) for some in tried] == [10_000]
    what = "learning the vocabulary"
    assert reporter.told == [(what, 0, None, ""), (what, 0, None, "takes about 2:20")]
    reporter = Heard()
    vocabulary.tell_of_learning(many, 10_000, TokenizerConfig(), reporter)
    assert reporter.told == [(what, 0, None, "")] and len(tried) == 1


def test_a_try_that_fails_tells_nothing_and_warns_of_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vocabulary, "_LONG", 10)
    for config, said in (
        (TokenizerConfig(vocabulary=300), r"|takes about 0:\d\d"),
        (TokenizerConfig(vocabulary=5), ""),
    ):
        reporter = Heard()
        vocabulary.tell_of_learning(lines("en", 100), 100, config, reporter)
        assert re.fullmatch(said, reporter.told[-1][3])
    assert not caplog.records
