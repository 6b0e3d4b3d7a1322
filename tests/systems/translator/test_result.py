from itertools import product

import pytest

from qkv.systems.translator.result import Candidate, Translation, combine, goes_round


def test_text_and_json():
    alternative = Translation("Nein", -0.5)
    translation = Translation("Ja", -0.123456, ("split", "repeated"), (Translation("Ja", -0.123456), alternative))
    assert str(translation) == "Ja"
    assert translation.to_json() == {
        "text": "Ja",
        "score": -0.1235,
        "flags": ["split", "repeated"],
        "n_best": [{"text": "Ja", "score": -0.1235, "flags": []}, {"text": "Nein", "score": -0.5, "flags": []}],
    }
    assert "n_best" not in alternative.to_json()


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_best_combinations_of_parts_against_enumeration(length_penalty):
    # Lengths are equal within a part, so that the best sums are the best scores.
    parts = ["a. ", "b. ", "c."]
    values = [[-1.0, -1.4, -1.5], [-0.2, -0.9, -3.0], [-2.0, -2.25, -9.0]]
    candidates = [
        [Candidate((f"{i}{k}",), value, length=i + 2) for k, value in enumerate(row)] for i, row in enumerate(values)
    ]
    everything = sorted(product(*values), key=sum, reverse=True)[:3]
    best = combine(parts, candidates, 3, length_penalty)
    assert [t.score for t in best.n_best] == pytest.approx([sum(row) / 9**length_penalty for row in everything])
    assert best.text == "00 10 20" == best.n_best[0].text
    assert best.flags == ("split",)


def test_whole_before_cut_and_equal_texts_once():
    cut = Candidate(("cut",), -0.1, 2, unfinished=True)
    whole, twin = Candidate(("whole",), -5.0, 2), Candidate(("whole",), -6.0, 2)
    best = combine(["x"], [[cut, whole, twin]], 3, 1.0)
    assert [(t.text, t.flags) for t in best.n_best] == [("whole", ()), ("cut", ("length_limit",))]


def test_parts_that_hold_nothing():
    assert combine([""], [[]], 1, 1.0) == Translation("", 0.0, ("empty",))
    some = combine(["\0", "One. "], [[], [Candidate(("Eins.",), -1.0, 2, repeated=True)]], 1, 1.0)
    assert some == Translation("Eins.", -0.5, ("split", "repeated"))


@pytest.mark.parametrize(
    ("tokens", "source", "expected"),
    [
        ([5, 6] * 3, [1, 2, 3], True),
        ([9, 8, *[5] * 6, 7], [1, 2, 3], True),
        ([1, 2, 3, 4, 5, 6, 7] * 3, [1, 2, 3], True),
        ([5] * 5, [1, 2, 3], False),
        ([5, 6] * 2 + [7, 8], [1, 2, 3], False),
        ([5, 6] * 3, [1, 2] * 3, False),
        ([5, 6] * 9, [1, 2] * 3, True),
        (list(range(50)), list(range(50)), False),
        ([], [], False),
    ],
)
def test_goes_round(tokens, source, expected):
    assert goes_round(tokens, source) is expected
