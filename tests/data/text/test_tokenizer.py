"""Tokenizer and codec: round trips, tags, byte fallback, reproducible sampling, honest errors."""

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import BEGIN, END, PAD, UNK, Tokenizer, TokenizerConfig
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


@pytest.mark.parametrize("hidden", ["\u00ad", "\u200b", "\u2060", "\u2066", "\u200e", "\ufeff", "\ufe0f", "\U000e0041"])
def test_characters_that_nobody_sees_change_no_token(tokenizer: Tokenizer, hidden: str) -> None:
    texts = [hidden + hidden.join(line) + hidden for line in LINES[:4]]
    assert tokenizer.encode(texts) == tokenizer.encode(LINES[:4])
    sampled = [tokenizer.encode_sampled(lines, alpha=0.3, seed=3) for lines in (texts, LINES[:4])]
    assert sampled[0] == sampled[1]


@pytest.mark.parametrize("kind", ["nmt_nfkc", "identity"])
def test_characters_that_nobody_sees_are_not_learnt(kind: Literal["nmt_nfkc", "identity"]) -> None:
    config = TokenizerConfig(vocabulary=298, normalization=kind)
    hidden = Tokenizer.train([line.replace("e", "e\u00ad").replace("a", "\u2066a") for line in LINES], config)
    assert hidden.to_bytes() == Tokenizer.train(LINES, config).to_bytes()


def test_joiners_stay_since_they_are_seen(tokenizer: Tokenizer) -> None:
    [joined, parted] = tokenizer.encode(["क्\u200dष", "क्ष"])
    assert joined != parted


def test_special_tokens_leave_no_trace(tokenizer: Tokenizer) -> None:
    [ids] = tokenizer.encode(["A man rides."])
    assert tokenizer.decode([[BEGIN, tokenizer.tag("de"), *ids, END, PAD, PAD]]) == ["A man rides."]


def test_sampling_is_a_function_of_the_seed(tokenizer: Tokenizer) -> None:
    first, again, other = (tokenizer.encode_sampled(LINES, alpha=0.3, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert tokenizer.decode(first) == LINES


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sampling_is_the_same_in_every_process(kind: Literal["bpe", "unigram"], tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary=298))
    (tmp_path / "tokenizer.model").write_bytes(tokenizer.to_bytes())
    program = (
        "from pathlib import Path; from qkv.data.text.tokenizer import Tokenizer; import sys;"
        "print(Tokenizer.load(Path(sys.argv[1])).encode_sampled(sys.argv[2:], alpha=0.3, seed=7))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "tokenizer.model"), *LINES]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.strip() == str(tokenizer.encode_sampled(LINES, alpha=0.3, seed=7))


def test_bpe_without_dropped_merges_is_what_sentencepiece_makes() -> None:
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(vocabulary=298))
    assert tokenizer.encode_sampled(LINES + HOSTILE, alpha=0.0, seed=1) == tokenizer.encode(LINES + HOSTILE)


def test_bpe_with_all_merges_dropped_is_characters() -> None:
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(vocabulary=298))
    [ids] = tokenizer.encode_sampled(["A man rides."], alpha=1.0, seed=1)
    assert tokenizer.pieces(ids) == list("▁A▁man▁rides.")


def test_unigram_segmentations_come_as_often_as_their_probabilities_say() -> None:
    tokenizer = Tokenizer.train(
        [*LINES, "now, is no snow in a no man?"], TokenizerConfig(kind="unigram", vocabulary=300)
    )
    best = tokenizer._processor.nbest_encode_as_proto("in the snow", nbest_size=64).nbests
    weights = [math.exp(0.5 * candidate.score) for candidate in best]
    drawn = Counter(tuple(tokenizer.encode_sampled(["in the snow"], alpha=0.5, seed=seed)[0]) for seed in range(4000))
    assert len(best) > 2
    for candidate, weight in zip(best, weights, strict=True):
        share = drawn[tuple(piece.id for piece in candidate.pieces)] / 4000
        assert share == pytest.approx(weight / sum(weights), abs=0.04)  # 5 standard deviations


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
    assert codec.encode_source(["A man", ""], "en")[1] == [tokenizer.tag("en"), END]
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
