import pytest

from hostile import ALPHABETS, text
from qkv.systems.translator.sentences import is_blank, join, split


def count_words(texts):
    return [len(text.split()) for text in texts]


def count_bytes(texts):
    return [len(text.encode("utf-8", "replace")) for text in texts]


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("limit", [1, 5, 23])
def test_nothing_is_lost_and_every_part_fits(alphabet, limit):
    for length in (0, 1, 2, 50, 500):
        whole = text(alphabet, length)
        parts = split(whole, count_bytes, limit)
        assert "".join(parts) == whole
        assert all(n <= limit or len(part) == 1 for part, n in zip(parts, count_bytes(parts)))
        assert whole == "" or "" not in parts


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_a_long_line_of_anything_is_not_counted_too_often(alphabet):
    characters = 0

    def count(texts):
        nonlocal characters
        characters += sum(map(len, texts))
        return count_bytes(texts)

    whole = text(alphabet, 100_000)
    assert "".join(split(whole, count, 30)) == whole
    assert characters < 20 * len(whole)


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("One two three four. Five six seven eight!", ["One two three four. ", "Five six seven eight!"]),
        ('He said "go on now please." She went away then.', ['He said "go on now please." ', "She went away then."]),
        (
            "We like fruit, e.g. apples and pears. They are good.",
            ["We like fruit, e.g. apples and pears. ", "They are good."],
        ),
        ("It costs 3.14 euros for one. Not more than that.", ["It costs 3.14 euros for one. ", "Not more than that."]),
        ("one two three four\nfive six seven eight nine", ["one two three four\n", "five six seven eight nine"]),
        ("1. First thing to do now. 2. Second thing to do.", ["1. First thing to do now. ", "2. Second thing to do."]),
    ],
)
def test_sentences(whole, parts):
    assert split(whole, count_words, 7) == parts


def test_sentences_of_scripts_without_spaces():
    def count(texts):
        return [len(text) for text in texts]

    whole = "今日は雪が降る。犬が二匹遊んでいる！「どこで？」庭で遊ぶ。"
    assert split(whole, count, 13) == ["今日は雪が降る。", "犬が二匹遊んでいる！", "「どこで？」", "庭で遊ぶ。"]


def test_clauses_then_spaces():
    whole = "one two three four, five six seven eight nine ten eleven twelve thirteen"
    assert split(whole, count_words, 6) == [
        "one two three four, ",
        "five six seven eight nine ten ",
        "eleven twelve thirteen",
    ]


@pytest.mark.parametrize(
    ("parts", "translations", "whole"),
    [
        (["One. ", "Two."], ["Eins.", "Zwei."], "Eins. Zwei."),
        (["一。", "二。"], ["One.", "Two."], "One. Two."),
        (["One. ", "Two."], ["一。", "二。"], "一。二。"),
        (["aaaa", "aaaa"], ["bb", "bb"], "bbbb"),
        (["漢漢", "漢漢"], ["word", "word"], "word word"),
        ([" ", "One. ", "\0", "Two."], ["", "Eins.", "", "Zwei."], "Eins. Zwei."),
        ([], [], ""),
    ],
)
def test_join(parts, translations, whole):
    assert join(parts, translations) == whole


def test_is_blank():
    assert all(map(is_blank, ["", " \t\u3000", "\0\x07", "\u200b\u202e", "\ud800", "\u2028\n"]))
    assert not any(map(is_blank, ["a", " . ", "😀", "\u0301", "漢"]))
