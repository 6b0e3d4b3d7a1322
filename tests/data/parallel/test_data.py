"""Files to examples: what is used and what is not, hold-out, caching, vocabularies."""

import random
from pathlib import Path

import numpy as np
import pytest

from qkv.data.parallel import store
from qkv.data.parallel.config import CorpusConfig, DataConfig
from qkv.data.parallel.data import ParallelData
from qkv.data.parallel.text import Lines, ParallelText
from qkv.data.text.tokenizer import TokenizerConfig
from qkv.errors import QkvError
from qkv.reporter import Reporter
from reporters import written

TOKENIZER = TokenizerConfig(vocabulary=320)
WORDS = ["two", "dogs", "play", "in", "the", "snow", "while", "a", "man", "rides", "his", "old", "bike"]


def sentences(count: int, seed: int, words: list[str] = WORDS) -> list[str]:
    rng = random.Random(seed)
    return [f"{' '.join(rng.choices(words, k=rng.randint(2, 9)))} {number}" for number in range(count)]


def corpus_of(
    folder: Path, name: str, columns: dict[str, list[str]], directions: list[str] | None = None
) -> CorpusConfig:
    files = {}
    for language, lines in columns.items():
        files[language] = str(folder / f"{name}.{language}")
        Path(files[language]).write_text("".join(line + "\n" for line in lines))
    return CorpusConfig(files=files, directions=directions)


def open_data(folder: Path, config: DataConfig, tokenizer: TokenizerConfig = TOKENIZER) -> ParallelData:
    return ParallelData.open(config, tokenizer, folder / "cache", 1, Reporter())


@pytest.fixture
def mixed(tmp_path: Path) -> ParallelData:
    """Two corpora, one of them three-way, with a share of unusable and repeated lines."""
    english, german, czech = sentences(120, 0), sentences(120, 1), sentences(120, 2)
    english[3], german[5], english[7] = "", "  ", "long " * 300
    english[20:24], german[20:24], czech[20:24] = english[10:14], german[10:14], czech[10:14]
    english[30] = "far too long for its other side " * 4
    german[30] = "kurz"
    three = corpus_of(tmp_path, "three", {"en": english, "de": german, "cs": czech}, ["en-de", "de-en", "cs-en"])
    two = corpus_of(tmp_path, "two", {"en": sentences(60, 3), "de": sentences(60, 4)}, ["en-de"])
    return open_data(tmp_path, DataConfig(train=[three, two], max_length=120))


def test_examples_are_the_lines_of_the_files(mixed: ParallelData, tmp_path: Path) -> None:
    assert mixed.codec.directions == (("en", "de"), ("de", "en"), ("cs", "en"))
    examples = mixed.train
    assert [examples.range(number) for number in range(3)] == [(0, 180), (180, 300), (300, 420)]
    read = {path.name: path.read_text().split("\n")[:-1] for path in tmp_path.glob("t*.*")}
    every = np.arange(len(examples))
    sources, targets = examples.texts(every)
    assert sources == read["three.en"] + read["two.en"] + read["three.de"] + read["three.cs"]
    assert targets == read["three.de"] + read["two.de"] + read["three.en"] + read["three.en"]
    shuffled = np.random.default_rng(0).permutation(every)
    assert examples.texts(shuffled)[0] == [sources[number] for number in shuffled]


def test_tokens_and_lengths_agree_with_the_codec(mixed: ParallelData) -> None:
    every = np.random.default_rng(0).permutation(len(mixed.train))
    sources, targets = mixed.train.texts(every)
    languages = [mixed.codec.directions[number][1] for number in mixed.train.direction(every)]
    source_tokens, target_tokens = mixed.train.tokens(every)
    encoded = [mixed.codec.encode_source([text], to)[0] for text, to in zip(sources, languages)]
    assert [row.tolist() for row in source_tokens] == encoded
    assert [row.tolist() for row in target_tokens] == mixed.codec.encode_target(targets)
    source_lengths, target_lengths = mixed.train.lengths(every)
    assert source_lengths.tolist() == [len(row) for row in source_tokens]
    assert target_lengths.tolist() == [len(row) + 1 for row in target_tokens]
    usable = mixed.train.usable(every)
    assert mixed.train.longest_source == source_lengths[usable].max() <= 122
    assert mixed.train.usable_pairs.sum() == usable.sum()


def test_every_pair_is_accounted_for(mixed: ParallelData) -> None:
    for row in mixed.report.train:
        assert sum(row.fates.values()) == row.pairs
    [en_de, de_en, cs_en] = mixed.report.train
    assert (en_de.fates["empty"], de_en.fates["empty"], cs_en.fates["empty"]) == (2, 2, 1)
    assert en_de.fates["too_long"] == de_en.fates["too_long"] == 1
    assert (en_de.duplicates, de_en.duplicates, cs_en.duplicates) == (4, 4, 4)
    assert en_de.suspicious >= 1
    assert en_de.places["empty"] == [f"{mixed.train.views[0].corpus.text.corpus.name}:{line}" for line in (4, 6)]
    assert any(place.endswith("three.en:31") for place in en_de.places["suspicious"])
    assert en_de.source.max_characters == len("long " * 300)
    sources, _ = mixed.train.texts(np.arange(180))
    assert en_de.source.mean_characters == pytest.approx(np.mean([len(text) for text in sources]))


def test_report_fits_a_terminal(mixed: ParallelData) -> None:
    lines = written(mixed.report.to_table(), width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("en-de") and "180" in line for line in lines)
    assert any("three.en:4" in line for line in lines)


def test_held_out_pairs_share_no_source_with_training(mixed: ParallelData) -> None:
    for number in range(3):
        held_out = mixed.validation.texts(mixed.validation.select(number))
        trained = mixed.train.texts(mixed.train.select(number))
        assert held_out[0]
        assert not {text.strip() for text in held_out[0]} & {text.strip() for text in trained[0]}
        assert mixed.report.train[number].fates["held_out"] == mixed.report.validation[number].pairs
    held_out_lines = sum(row.pairs for row in mixed.report.validation if row.direction == "en-de")
    assert held_out_lines == 9  # 5 % of 180


def test_shadowed_pairs_leave_training(tmp_path: Path) -> None:
    """Where every source occurs twice, holding one out takes the other from training too."""
    english, german = sentences(40, 0) * 2, sentences(80, 1)
    data = open_data(tmp_path, DataConfig(train=[corpus_of(tmp_path, "a", {"en": english, "de": german}, ["en-de"])]))
    [row] = data.report.train
    assert row.fates["held_out"] + row.fates["shadowed"] == 2 * len(set(data.validation_texts(("en", "de"))[0]))
    assert row.fates["shadowed"] > 0


def test_configured_validation(tmp_path: Path) -> None:
    train = corpus_of(tmp_path, "train", {"en": sentences(30, 0), "de": sentences(30, 1)})
    validation = corpus_of(tmp_path, "val", {"de": sentences(8, 2), "en": sentences(8, 3), "fr": sentences(8, 4)})
    data = open_data(tmp_path, DataConfig(train=[train], validation=[validation]))
    assert data.train.usable_pairs.tolist() == [30, 30]
    assert data.validation_directions == data.codec.directions == (("en", "de"), ("de", "en"))
    assert data.validation_texts(("en", "de")) == (sentences(8, 3), sentences(8, 2))
    assert data.validation_texts(("en", "de"), 4)[0] == sentences(8, 3)[::2]
    rows = sum(len(batch.source) for batch in data.validation_batches())
    assert rows == 16
    wrong = corpus_of(tmp_path, "wrong", {"cs": ["a"], "fr": ["b"]})
    with pytest.raises(QkvError, match="cs-fr is not trained; choose from en-de, de-en"):
        open_data(tmp_path, DataConfig(train=[train], validation=[wrong]))


def test_pairs_of_validation_files_leave_training_and_are_counted(tmp_path: Path) -> None:
    """A pair is one with both its sides, whatever blanks are around them, in the direction that it is validated in."""
    english, german = sentences(60, 0), sentences(60, 1)
    both = {"en": [*english, english[5], english[6], ""], "de": [*german, f" {german[5]} ", german[7], ""]}
    validation = {"de": [german[5], german[3], german[40], "x", ""], "en": [english[5], english[3], "x", "y", ""]}
    train = [corpus_of(tmp_path, "a", both), corpus_of(tmp_path, "b", {"en": english[:9], "de": german[:9]}, ["en-de"])]
    data = open_data(tmp_path, DataConfig(train=train, validation=[corpus_of(tmp_path, "val", validation, ["de-en"])]))
    rows = {row.direction: row for row in data.report.train}
    assert {name: row.fates["validated"] for name, row in rows.items()} == {"en-de": 0, "de-en": 3}
    assert rows["de-en"].fates["empty"] == 1
    trained = data.train.texts(data.train.select(data.codec.directions.index(("de", "en"))))
    left = [pair for number, pair in enumerate(zip(german, english)) if number not in (3, 5)]
    assert list(zip(*trained)) == [*left, (german[7], english[6])]
    assert "de-en: left out, 3 pairs that are in validation too" in data.report.to_table().notes
    data = open_data(tmp_path, DataConfig(train=train, validation=[corpus_of(tmp_path, "val", validation)]))
    assert [row.fates["validated"] for row in data.report.train] == [5, 3]  # b has two of them in one direction


def test_separate_vocabularies(tmp_path: Path) -> None:
    korean = sentences(50, 1, ["눈", "속에서", "개", "두", "마리가", "놀고", "있다"])
    corpus = corpus_of(tmp_path, "a", {"en": sentences(50, 0), "ko": korean}, ["en-ko"])
    data = open_data(tmp_path, DataConfig(train=[corpus]), TokenizerConfig(vocabulary=300, separate=True))
    assert sorted(data.codec.files()) == ["source.model", "target.model"]
    assert "눈" in "".join(data.codec.target.pieces(range(len(data.codec.target))))
    assert "눈" not in "".join(data.codec.source.pieces(range(len(data.codec.source))))
    every = np.arange(len(data.train))
    assert [row.tolist() for row in data.train.tokens(every)[1]] == data.codec.encode_target(korean)
    both = CorpusConfig(files=corpus.files)
    with pytest.raises(QkvError, match="separate works for one direction, not for en-ko, ko-en"):
        open_data(tmp_path, DataConfig(train=[both]), TokenizerConfig(vocabulary=300, separate=True))


def test_prepared_data_is_reused_until_its_files_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = DataConfig(train=[corpus_of(tmp_path, "a", {"en": sentences(50, 0), "de": sentences(50, 1)})])
    first = open_data(tmp_path, config)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    again = open_data(tmp_path, config)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == made
    assert again.codec.files() == first.codec.files()
    assert "has changed" not in caplog.text
    corpus_of(tmp_path, "a", {"en": sentences(55, 0), "de": sentences(55, 1)})
    changed = open_data(tmp_path, config)
    assert len(changed.train) == 110
    assert changed.codec.files() == first.codec.files()
    assert "the training text has changed" in caplog.text


def test_nothing_half_made_stays(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "a", {"en": ["a", "b"], "de": ["a"]})
    with pytest.raises(QkvError, match="lines"):
        open_data(tmp_path, DataConfig(train=[corpus]))
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("texts", "texts.arrow"), ("texts", "hashes.bin"), ("tokens", "tokens.arrow"), ("tokens", "lengths.bin")],
)
def test_what_is_damaged_is_prepared_again(
    kind: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = DataConfig(train=[corpus_of(tmp_path, "a", {"en": sentences(50, 0), "de": sentences(50, 1)})])
    first = open_data(tmp_path, config)
    [file] = (tmp_path / "cache").glob(f"{kind}-*/{name}")
    content = file.read_bytes()
    file.unlink()  # it is still mapped
    file.write_bytes(content[:-100])
    again = open_data(tmp_path, config)
    assert "is damaged or cut short: it is made anew" in caplog.text
    assert again.validation_texts(("en", "de")) == first.validation_texts(("en", "de"))
    assert again.batch(0, 0).source.equal(first.batch(0, 0).source)


def test_lines_are_found_in_whichever_block_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BLOCK_ROWS", 7)
    corpus = corpus_of(tmp_path, "a", {"en": sentences(50, 0), "de": sentences(50, 1)})
    [texts] = ParallelText.open(DataConfig(train=[corpus]), tmp_path / "cache", Reporter()).train
    assert len(texts.columns["en"].blocks) == 8
    for rows in ([0], [49], [6, 7, 0, 48, 7, 30], list(range(49, -1, -1))):
        assert texts.columns["en"][np.array(rows)].to_pylist() == [sentences(50, 0)[row] for row in rows]


def test_tokenizer_text_is_a_fair_thin_sample(tmp_path: Path) -> None:
    large = corpus_of(tmp_path, "large", {"en": sentences(400, 0), "de": sentences(400, 1)})
    small = corpus_of(tmp_path, "small", {"en": sentences(100, 2), "cs": sentences(100, 3)})
    text = ParallelText.open(DataConfig(train=[large, small]), tmp_path / "cache", Reporter())
    english = sentences(400, 0) + sentences(100, 2)
    assert list(Lines(text, ["en"], 10_000)) == english
    assert list(Lines(text, ["en"], 100)) == english[4::5]
    assert sum(1 for _ in Lines(text, ["en", "de", "cs"], 100)) == 100
    hot = ParallelText.open(DataConfig(train=[large, small], temperature=1e9), tmp_path / "cache", Reporter())
    assert sum(line in set(sentences(100, 3)) for line in Lines(hot, ["en", "de", "cs"], 99)) == 33


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        ({"en": [], "de": []}, {}, "is empty: it must hold at least one line"),
        ({"en": ["a", ""], "de": ["", "b"]}, {}, "too few pairs to hold one out"),
        ({"en": ["a"], "de": ["b"]}, {}, "too few pairs to hold one out"),
        ({"en": ["a"] * 9, "de": ["b"] * 9}, {}, "en-de: none of 9 pairs is left to train on"),
        ({"en": ["word " * 50] * 9, "de": ["b"] * 9}, {"max_length": 5}, "too few pairs to hold one out"),
        ({"en": sentences(9, 0), "de": sentences(9, 1)}, {"batch_tokens": 3}, "cannot hold a sentence of"),
    ],
)
def test_hopeless_corpora(tmp_path: Path, columns: dict, fields: dict, message: str) -> None:
    config = DataConfig(train=[corpus_of(tmp_path, "a", columns)], **fields)
    with pytest.raises(QkvError, match=message):
        open_data(tmp_path, config)


def test_missing_file_and_unknown_direction(tmp_path: Path) -> None:
    missing = CorpusConfig(files={"en": str(tmp_path / "x.en"), "de": str(tmp_path / "x.de")})
    with pytest.raises(QkvError, match=r"x.en does not exist"):
        open_data(tmp_path, DataConfig(train=[missing]))
    corpus = corpus_of(tmp_path, "a", {"en": ["a"], "zh-Hans": ["b"]}, ["en-zh-Hans", "en-fr"])
    with pytest.raises(QkvError, match="no direction 'en-fr'; its languages make en-zh-Hans, zh-Hans-en"):
        open_data(tmp_path, DataConfig(train=[corpus]))
    corpus = corpus_of(tmp_path, "b", {"en": sentences(60, 0), "de": sentences(60, 1)})
    with pytest.raises(QkvError, match=r"data\.weights names 'en-da', .*; did you mean 'en-de'"):
        open_data(tmp_path, DataConfig(train=[corpus], weights={"en-da": 2}))
    with pytest.raises(ValueError, match="weights: that of en-de must be positive, not 0"):
        DataConfig(train=[corpus], weights={"en-de": 0})
