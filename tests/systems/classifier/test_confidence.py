import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from qkv.metrics.translation import measure


@pytest.mark.parametrize("metric", [BLEU, CHRF, TER])
def test_a_resample_without_any_match_counts_as_zero(metric: type) -> None:
    # Half of the test set matches wholly, half not at all, so some resamples hold no match.
    measured = measure(metric(), ["a b c d e", "x"], ["a b c d e", "y z w v u"])
    assert 0 < measured.mean < 100
    assert measured.interval == pytest.approx(50)


@pytest.mark.parametrize("metric", [BLEU, CHRF, TER])
def test_equals_sacrebleu(metric: type) -> None:
    references = [f"{a} {b} {a} c d e f" for a in "abcde" for b in "vwxyz"]
    translations = [reference.replace("b", "q").replace("y w", "y") for reference in references]
    theirs = (instance := metric()).corpus_score(translations, [references], n_bootstrap=1000)
    ours = measure(metric(), translations, references)
    assert (ours.score, ours.mean, ours.interval) == pytest.approx((theirs.score, theirs._mean, theirs._ci), rel=1e-5)
    assert ours.signature == str(instance.get_signature())
