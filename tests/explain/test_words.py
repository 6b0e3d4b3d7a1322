"""Pieces to words."""

import pytest

from qkv.data.parallel.vocabulary import Codec
from qkv.explain.words import Token, group_words, merge


def words(*pieces: str) -> list[str]:
    tokens = [Token(piece, special=piece.startswith("<2") or piece == "<end>") for piece in pieces]
    return [merge(tokens, group).text for group in group_words(tokens)]


def test_pieces_join_and_special_tokens_stay_alone():
    assert words("<2de>", "▁play", "ing", "▁dogs", "<end>") == ["<2de>", "playing", "dogs", "<end>"]


def test_punctuation_leaves_a_word_at_its_edges_only():
    assert words("▁(", "l", "'", "homme", ")", ".") == ["(", "l'homme", ")."]
    assert words("▁...") == ["..."]


def test_bytes_become_the_character_they_spell():
    assert words("▁caf", "<0xC3>", "<0xA9>", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>") == ["café", "😀"]
    assert words("▁", "<0xC3>", "▁x") == ["\ufffd", "x"]  # half a character


def test_scripts_without_spaces_keep_their_pieces():
    assert words("▁我们", "在", "<0xE9>", "<0x9B>", "<0xAA>", "地", "。") == ["我们", "在", "雪", "地", "。"]


def test_a_space_of_its_own():
    assert words("▁", "▁a") == ["▁", "a"]
    assert words("▁") == ["▁"]
    assert words() == []


@pytest.mark.parametrize("text", ["Two dogs play.", "Größe (42) 雪 😀!", "a\tb  c", '"l\'eau," dit-il'])
def test_words_of_real_pieces_cover_the_text(codec: Codec, text: str):
    pieces = [Token(piece) for piece in codec.source.pieces(codec.source.encode([text])[0])]
    groups = group_words(pieces)
    assert [i for group in groups for i in group] == list(range(len(pieces)))
    assert "".join(merge(pieces, group).text for group in groups) == "".join(text.split())
