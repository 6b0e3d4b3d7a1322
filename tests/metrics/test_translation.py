import unicodedata

import pytest
import sacrebleu
from sacrebleu import BLEU

from qkv.errors import QkvError
from qkv.metrics import translation
from qkv.metrics.translation import bleu, corpus_bleu, notes, score

TRANSLATIONS = ["Two dogs play in the snow .", "A man reads a book", "The cat sat on the mat.", "nothing alike"]
REFERENCES = ["Two dogs are playing in the snow.", "A man reads a book.", "The cat sat on a mat.", "another sentence"]


def test_scores_are_those_of_sacrebleu():
    metrics = {metric.name: metric for metric in score(TRANSLATIONS, REFERENCES, "en")}
    assert metrics["BLEU"].score == pytest.approx(sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score)
    assert metrics["chrF2"].score == pytest.approx(sacrebleu.corpus_chrf(TRANSLATIONS, [REFERENCES]).score)
    assert metrics["TER"].score == pytest.approx(sacrebleu.corpus_ter(TRANSLATIONS, [REFERENCES]).score)
    for metric in metrics.values():
        assert metric.interval > 0 and abs(metric.mean - metric.score) < metric.interval
        assert "bs:1000|seed:12345|" in metric.signature and sacrebleu.__version__ in metric.signature


def test_a_perfect_translation():
    assert [metric.score for metric in score(REFERENCES, REFERENCES, "de")] == pytest.approx([100, 100, 0])


CODES = {
    "zh": ["zh", "zh-TW", "zh_CN", "zh-Hans", "zho", "zho_Hant", "chi", "cmn", "cmn-Hans-CN", "yue", "ZH", "nan-Hant"],
    "ja-mecab": ["ja", "jpn", "ja_JP", "jpn-Jpan"],
    "ko-mecab": ["ko", "kor", "ko-KR", "kor_Hang", "ko-Kore"],
    "char": ["th", "tha", "lo", "lao", "my", "mya", "bur", "km", "khm_Khmr", "bo", "bod", "dz"],
    "13a": ["de", "deu", "en-US", "cs", "fra_Latn", "vi", "zh-Latn", "ja-Latn", "nan-Latn", "kok", "kn", "jav", "no"],
}


@pytest.mark.parametrize(("tokenizer", "language"), [(name, code) for name in CODES for code in CODES[name]])
def test_words_are_cut_as_the_language_needs(tokenizer, language):
    result = bleu(language)
    result.corpus_score(["甲乙丙丁戊"], [["甲乙丙丁己"]])
    try:
        BLEU(tokenize=tokenizer)
    except RuntimeError:  # MeCab is not installed
        tokenizer = "char"
    assert f"tok:{tokenizer}" in str(result.get_signature())


def test_mecab_is_used_where_it_is(monkeypatch):
    asked = []

    def only_korean(tokenize):
        asked.append(tokenize)
        if tokenize == "ja-mecab":
            raise RuntimeError("Japanese tokenization requires extra dependencies")
        return tokenize

    monkeypatch.setattr(translation, "BLEU", only_korean)
    assert (bleu("kor"), bleu("jpn")) == ("ko-mecab", "char")
    assert asked == ["ko-mecab", "ja-mecab", "char"]


def test_ter_of_chinese_counts_characters():
    translations = ["两只狗在雪地里玩耍。", "一个男人在舞台上唱歌。"]
    references = ["两只狗在雪地上玩耍。", "一个男人在舞台上跳舞。"]
    for language in ("zh", "zho", "zh_CN", "cmn-Hans"):
        *_, found = score(translations, references, language)
        assert found.score == pytest.approx(100 * 3 / 21)  # three characters of 21 are others
        assert "asian:yes" in found.signature and "norm:yes" in found.signature


def test_ter_of_japanese_does_not_count_sentences():
    *_, found = score(["犬が雪の中で遊んでいます。"], ["犬が雪の上で遊んでいます。"], "jpn")
    assert found.name == "TER" and found.score == pytest.approx(100 / 9)  # 犬 が 雪 の 上 で 遊 んでいます 。


@pytest.mark.parametrize("language", ["th", "khm", "my"])
def test_there_is_no_ter_where_words_cannot_be_told_apart(language):
    thai = ["สุนัขสองตัวกำลังเล่นหิมะ"]
    assert [metric.name for metric in score(thai, thai, language)] == ["BLEU", "chrF2"]
    assert notes(thai, language) == [f"no TER: it counts words, which {language!r} does not part by spaces"]


GERMAN = ["Zwei Hunde spielen im Schnee.", "Ein Mädchen mit grünem Hut geht über die Straße.", "Männer hören zu."]
OUTPUT = ["Zwei Hunde spielen im Schnee.", "Ein Mädchen mit grünem Hut läuft über eine Straße.", "Männer hören es."]


def hyphenated(text):
    return text.replace("nd", "n\u00add")


def decomposed(text):
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize("change", [decomposed, hyphenated, lambda text: "\ufeff" + hyphenated(decomposed(text))])
def test_texts_that_look_alike_score_alike(change):
    expected = score(OUTPUT, GERMAN, "de")
    assert sacrebleu.corpus_bleu(OUTPUT, [list(map(change, GERMAN))]).score < expected[0].score  # by itself they do not
    assert score(OUTPUT, [*map(change, GERMAN)], "de") == score([*map(change, OUTPUT)], GERMAN, "de") == expected
    assert corpus_bleu(OUTPUT, [*map(change, GERMAN)], "de") == pytest.approx(expected[0].score)


def test_notes_name_what_was_done_to_references():
    assert notes(GERMAN, "de") == []
    [form] = notes([*map(decomposed, GERMAN)], "de")
    assert form.startswith("the references are in NFD of Unicode, not in NFC")
    [form] = notes([decomposed(GERMAN[1]), GERMAN[1]], "de")
    assert form.startswith("the references are in no one form of Unicode")
    [hidden] = notes([*map(hyphenated, GERMAN)], "de")
    assert hidden == "invisible characters were left out of 1 reference before scoring"


def test_refusals():
    with pytest.raises(QkvError, match="4 translations but 3 references"):
        score(TRANSLATIONS, REFERENCES[1:], "en")
    with pytest.raises(QkvError, match="empty"):
        score([], [], "en")
