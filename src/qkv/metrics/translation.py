"""Corpus scores of translations, as everyone computes them: sacreBLEU (Post 2018)."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import _bootstrap_resample

from qkv.characters import composed, form_of, without_ignorable
from qkv.errors import QkvError

# How text is cut: as sacreBLEU's tokenizer of that name does, or by "char" where words have no space between them.
_LANGUAGES = {
    "zh": "zh zho chi cmn yue wuu nan hak gan hsn lzh cdo cjy mnp cpx czh czo chinese mandarin cantonese",
    "ja": "ja jpn japanese",
    "ko": "ko kor korean",
    "char": "th tha thai lo lao my mya bur burmese km khm khmer bo bod tib tibetan dz dzo shn",
}
_SCRIPTS = {
    "zh": "hans hant hani bopo",
    "ja": "jpan hira kana hrkt",
    "ko": "kore hang",
    "char": "thai laoo mymr khmr tibt lana talu",
}
# The best for a language first; the second where its dictionary is not installed (sacrebleu[ja], sacrebleu[ko]).
_TOKENIZERS = {"zh": ["zh"], "ja": ["ja-mecab", "char"], "ko": ["ko-mecab", "char"], "char": ["char"]}
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

    The language chooses how text is cut, see `bleu` and `ter`. Both sides are compared in Unicode's form NFC, without
    characters that nobody sees.

    Returns:
        The metrics that the language has, in this order: TER is missing where `ter` has none.

    Raises:
        QkvError: there is nothing to score, or the numbers of lines differ.
    """
    if len(translations) != len(references):
        counts = f"{len(translations):,} translations but {len(references):,} references"
        raise QkvError(f"{counts}: line n must belong to n")
    if not references:
        raise QkvError("the test set is empty: it must hold at least one line")
    metrics = filter(None, (bleu(language), CHRF(), ter(language)))
    return [measure(metric, [*map(composed, translations)], [*map(composed, references)]) for metric in metrics]


def corpus_bleu(translations: Sequence[str], references: Sequence[str], language: str) -> float:
    """What `score` gives as BLEU, without an interval."""
    return bleu(language).corpus_score([*map(composed, translations)], [[*map(composed, references)]]).score


def bleu(language: str) -> BLEU:
    """BLEU with the tokenizer that suits the language, by its code: ISO 639, with or without script and region.

    Chinese is cut by sacreBLEU's "zh", Japanese and Korean into morphemes by MeCab if that is installed and into
    characters otherwise (a Korean word with its particles is too long a unit), other languages without spaces into
    characters, all others by "13a".
    """
    for tokenizer in _TOKENIZERS.get(_writing(language), []):
        try:
            return BLEU(tokenize=tokenizer)
        except (ImportError, RuntimeError, AssertionError):  # MeCab or its dictionary is missing, or is another one
            continue
    return BLEU()


def ter(language: str) -> TER | None:
    """TER, counted in characters for Chinese and in ideographs and runs of kana for Japanese.

    None for other languages without spaces, of which sacreBLEU would take whole sentences for words.
    """
    writing = _writing(language)
    if writing == "char":
        return None
    return TER(normalized=True, asian_support=True) if writing in ("zh", "ja") else TER()


def notes(references: Sequence[str], language: str) -> list[str]:
    """What a reader of the scores should know: that references were put into another form, or that there is no TER."""
    found = []
    if form := form_of(references):
        found.append(f"the references are in {form} of Unicode, not in NFC: they were put into NFC before scoring")
    if hidden := sum(without_ignorable(reference) != reference for reference in references):
        found.append(f"invisible characters were left out of {hidden:,} reference{'s' * (hidden > 1)} before scoring")
    if ter(language) is None:
        found.append(f"no TER: it counts words, which {language!r} does not part by spaces")
    return found


def _writing(language: str) -> str:
    """How a language is written: a key of `_TOKENIZERS`, or "" for words with spaces between them."""
    code, *subtags = re.split("[-_]", language.lower())
    script = next((subtag for subtag in subtags if len(subtag) == 4 and subtag.isalpha()), None)
    names = _LANGUAGES if script is None else _SCRIPTS  # a script decides: Chinese in Latin letters has spaces
    return next((writing for writing, known in names.items() if (script or code) in known.split()), "")


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
