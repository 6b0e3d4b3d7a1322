import pytest
import sacrebleu

from qkv.errors import QkvError
from qkv.metrics.translation import bleu, score

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


@pytest.mark.parametrize(
    ("language", "tokenizer"), [("zh", "zh"), ("zh-TW", "zh"), ("ja", "char"), ("ko", "13a"), ("de", "13a")]
)
def test_words_are_cut_as_the_language_needs(language, tokenizer):
    result = bleu(language)
    result.corpus_score(["甲乙丙丁戊"], [["甲乙丙丁己"]])
    assert f"tok:{tokenizer}|" in str(result.get_signature())


def test_refusals():
    with pytest.raises(QkvError, match="4 translations but 3 references"):
        score(TRANSLATIONS, REFERENCES[1:], "en")
    with pytest.raises(QkvError, match="empty"):
        score([], [], "en")
