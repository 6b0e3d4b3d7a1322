"""How good a translator is on a test set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qkv.data.parallel.vocabulary import Direction
from qkv.metrics.translation import Metric, corpus_bleu, notes, score
from qkv.systems.translator.decoding import Decoding
from qkv.systems.translator.pipeline import Progress, Translator
from qkv.systems.translator.result import Translation


@dataclass(frozen=True)
class TranslatorReport:
    """Scores of a translator on a test set."""

    lines: int  # how many were translated
    beam_size: int  # hypotheses that went on
    metrics: tuple[Metric, ...]  # BLEU, chrF and, if the language has words that can be told apart, TER
    flags: Mapping[str, int]  # how many translations have each of the flags of `Translation`; those that occur
    notes: tuple[str, ...] = ()  # what a reader of the scores should know of the references

    def to_json(self) -> dict[str, Any]:
        """The fields, the metrics by name."""
        return {**vars(self), "metrics": {metric.name: metric.to_json() for metric in self.metrics}}


def report(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    direction: Direction,
    beam_size: int | None = None,
    progress: Progress | None = None,
) -> TranslatorReport:
    """Translate a test set, sentence by sentence, and compare with what people wrote; a beam of 1 is greedy.

    Raises:
        QkvError: there is nothing to translate, the two do not belong together, or the model does not know a language.
    """
    from_, to = direction
    to, _ = translator.languages(to, from_)
    translations = translator.translate(sources, to, from_, beam_size=beam_size, progress=progress)
    return TranslatorReport(
        lines=len(sources),
        beam_size=Decoding(beam_size=beam_size).width,
        metrics=tuple(score([translation.text for translation in translations], references, to)),
        flags=dict(Counter(flag for translation in translations for flag in translation.flags)),
        notes=tuple(notes(references, to)),
    )


def greedy_bleu(
    translator: Translator, sources: Sequence[str], references: Sequence[str], direction: Direction
) -> tuple[float, list[Translation]]:
    """What `report` gives as BLEU for a beam of one, and the translations: quick enough to be watched in training."""
    from_, to = direction
    translations = translator.translate(sources, to, from_, beam_size=1)
    return corpus_bleu([translation.text for translation in translations], references, to), translations
