"""Corpus scores of translations, as everyone computes them: sacreBLEU (Post 2018)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import _bootstrap_resample

from qkv.errors import QkvError

# Languages that put no space between words, for which 13a would count whole sentences as words.
_TOKENIZERS = {"zh": "zh", **dict.fromkeys(("ja", "th", "lo", "my", "km"), "char")}
_RESAMPLES = 1000


@dataclass(frozen=True)
class Metric:
    """One score of a test set, from 0 to 100 (TER may be higher).

    Attributes:
        name: "BLEU", "chrF2" (higher is better) or "TER" (lower is better)
        score: of the test set.
        mean: over bootstrap resamples of the test set (Koehn 2004)
        interval: half the width of the 95 % confidence interval around the mean.
        signature: sacreBLEU's, which says exactly how it was computed.
    """

    name: str
    score: float
    mean: float
    interval: float
    signature: str

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def score(translations: Sequence[str], references: Sequence[str], language: str) -> list[Metric]:
    """BLEU (Papineni et al. 2002), chrF (Popović 2015) and TER (Snover et al. 2006). TER alone ignores case.

    The language chooses how BLEU cuts words (13a but for languages without spaces).

    Raises:
        QkvError: there is nothing to score, or the numbers of lines differ.
    """
    if len(translations) != len(references):
        counts = f"{len(translations):,} translations but {len(references):,} references"
        raise QkvError(f"{counts}: line n must belong to n")
    if not references:
        raise QkvError("the test set is empty: it must hold at least one line")
    return [measure(metric, translations, references) for metric in (bleu(language), CHRF(), TER())]


def bleu(language: str) -> BLEU:
    """BLEU with the tokenization that suits the language."""
    return BLEU(tokenize=_TOKENIZERS.get(language.replace("_", "-").split("-")[0].lower()))


def measure(metric: BLEU | CHRF | TER, translations: Sequence[str], references: Sequence[str]) -> Metric:
    """One metric of sacreBLEU with its bootstrap confidence interval and signature."""
    stats = metric._extract_corpus_statistics(translations, [list(references)])
    result: Any = metric._aggregate_and_compute(stats)
    metric.n_bootstrap = _RESAMPLES
    metric.seed, resamples = _bootstrap_resample(stats, metric, _RESAMPLES)
    for resample in resamples:
        # Some are NumPy's, which `corpus_score` cannot average with Python's 0.0 of a resample without any match.
        resample.score = float(resample.score)
    result.estimate_ci(resamples)
    return Metric(result.name, float(result.score), result._mean, result._ci, str(metric.get_signature()))
