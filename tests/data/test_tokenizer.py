"""Tokenizer and codec: round trips, tags, byte fallback, reproducible sampling, honest errors."""

from pathlib import Path
from typing import Literal

import pytest

from qkv.data import BEGIN, END, PAD, UNK, Codec, Tokenizer, TokenizerConfig
from qkv.errors import QkvError

LINES = ["Two dogs play in the snow.", "Zwei Hunde spielen im Schnee.", "Ein Mann fährt Fahrrad.", "A man rides."] * 5
HOSTILE = [
    "",
    " ",
    "<2de> </s> <s> <unk> <pad>",
    "한국어 🦋 עברית",
    "a\x00b\x07\t",
    "\ud800 lone",
    "\u2581",
    "é" * 3000,
]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(LINES, TokenizerConfig(kind=request.param, vocabulary=298), ["en", "de"])


def test_text_round_trips(tokenizer: Tokenizer) -> None:
    other = ["Größe 42", "한국어 🦋 עברית", "a\tb", ""]
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES
    assert tokenizer.decode(tokenizer.encode(other)) == ["Größe 42", "한국어 🦋 עברית", "a b", ""]


def test_no_text_is_unknown_or_special(tokenizer: Tokenizer) -> None:
    special = {PAD, UNK, BEGIN, END, tokenizer.tag("en"), tokenizer.tag("de")}
    for ids in tokenizer.encode(HOSTILE) + tokenizer.encode_sampled(HOSTILE, alpha=0.2, seed=1):
        assert not special & set(ids)


def test_special_tokens_leave_no_trace(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode(["A man rides."])
    assert tokenizer.decode([[BEGIN, tokenizer.tag("de"), *ids, END, PAD, PAD]]) == ["A man rides."]


def test_sampling_is_a_function_of_the_seed(tokenizer: Tokenizer) -> None:
    first, again, other = (tokenizer.encode_sampled(LINES, alpha=0.3, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert tokenizer.decode(first) == LINES


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_deterministic(kind: Literal["bpe", "unigram"]) -> None:
    config = TokenizerConfig(kind=kind, vocabulary=298)
    assert Tokenizer.train(LINES, config).to_bytes() == Tokenizer.train(LINES, config).to_bytes()


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("lines", [["a"], LINES, ["x" * 50_000]])
def test_vocabulary_is_lowered_to_what_the_text_supports(
    lines: list[str], kind: Literal["bpe", "unigram"], caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary=5000))
    assert 256 < len(tokenizer) < 5000
    assert "vocabulary lowered" in caplog.text
    assert tokenizer.decode(tokenizer.encode(["a ß"])) == ["a ß"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_rare_characters_make_room(kind: Literal["bpe", "unigram"], caplog: pytest.LogCaptureFixture) -> None:
    """600 characters do not fit into 500 pieces; the frequent ones are kept, and bytes spell the others."""
    rare = ["".join(map(chr, range(start, start + 30))) for start in range(0x4E00, 0x4E00 + 600, 30)]
    lines = rare + ["常用的字 " * 20] * 400
    tokenizer = Tokenizer.train(lines, TokenizerConfig(kind=kind, vocabulary=500), ["zh", "en"])
    assert 300 < len(tokenizer) <= 500
    assert "no room for all" in caplog.text
    assert tokenizer.decode(tokenizer.encode(lines)) == [line.strip() for line in lines]
    assert len(tokenizer.encode(["常"])[0]) <= 2 < len(tokenizer.encode([rare[-1]])[0])


def test_errors_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match=r"vocabulary 100 is too small: .* take 260; raise it"):
        Tokenizer.train(LINES, TokenizerConfig(vocabulary=100))
    for nothing in ([], ["", ""], ["  "]):
        with pytest.raises(QkvError, match="no text"):
            Tokenizer.train(nothing, TokenizerConfig(vocabulary=300))
    with pytest.raises(QkvError, match="no language code"):
        Tokenizer.train(LINES, TokenizerConfig(vocabulary=300), ["d,e"])
    with pytest.raises(QkvError, match="cannot read"):
        Tokenizer.load(tmp_path / "missing.model")
    (tmp_path / "broken.model").write_bytes(b"not a model")
    with pytest.raises(QkvError, match="not a SentencePiece model"):
        Tokenizer.load(tmp_path / "broken.model")
    with pytest.raises(ValueError, match="sample_target"):
        TokenizerConfig(sample_target=True)


def test_codec_tags_the_source(tokenizer: Tokenizer, tmp_path: Path) -> None:
    codec = Codec(tokenizer, tokenizer, (("en", "de"), ("de", "en")), target_tags=True)
    [ids] = tokenizer.encode(["A man"])
    assert codec.encode_source(["A man"], "de") == [[tokenizer.tag("de"), *ids, END]]
    assert codec.encode_source(["A man", ""], ["de", "en"])[1] == [tokenizer.tag("en"), END]
    assert codec.encode_target(["A man"]) == [ids]
    assert codec.decode([[BEGIN, *ids, END]]) == ["A man"]
    assert codec.target_vocabulary is None
    for name, content in codec.files().items():
        (tmp_path / name).write_bytes(content)
    again = Codec.load(tmp_path, codec.config())
    assert again.source is again.target
    assert again.encode_source(LINES, "de") == codec.encode_source(LINES, "de")
    with pytest.raises(QkvError, match="does not translate into 'fr': choose from de, en"):
        codec.encode_source(["A man"], "fr")


def test_codec_with_separate_vocabularies(tokenizer: Tokenizer, tmp_path: Path) -> None:
    target = Tokenizer.train(LINES, TokenizerConfig(vocabulary=300))
    codec = Codec(tokenizer, target, (("en", "de"),), target_tags=False)
    assert codec.encode_source(["A man"], "de") == [[*tokenizer.encode(["A man"])[0], END]]
    assert codec.encode_target(["Ein Mann"]) == target.encode(["Ein Mann"])
    assert (codec.vocabulary, codec.target_vocabulary) == (len(tokenizer), len(target))
    assert sorted(codec.files()) == ["source.model", "target.model"]
    for name, content in codec.files().items():
        (tmp_path / name).write_bytes(content)
    assert Codec.load(tmp_path, codec.config()).target.to_bytes() == target.to_bytes()


def test_several_directions_need_tags(tokenizer: Tokenizer) -> None:
    with pytest.raises(QkvError, match="need target_tags"):
        Codec(tokenizer, tokenizer, (("en", "de"), ("de", "en")), target_tags=False)
