"""By what a translator knows that it is unsure: a profile and limits, found in training, or later."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qkv.data.parallel.vocabulary import Direction, format_direction
from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.json_text import json_text
from qkv.model_directory import CONFIG, read_config
from qkv.systems.translator.doubts import familiarity
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.profile import PROFILE, Profile
from qkv.systems.translator.saved import Limits

# Of validation's translations and texts, these shares lie below the limits.
_LOW, _UNFAMILIAR = 0.002, 0.001
# The share of the translations that are searched for with a beam, those with the lowest scores; well above `_LOW`.
_SEARCHED = 0.05

Scores = NDArray[np.float64]
Scored = Mapping[Direction, tuple[list[str], list[float]]]
"""Validation texts and the scores of their greedy translations, by direction."""


def find_limits(translator: Translator, profile: Profile, scored: Scored) -> Limits:
    """The limits of a translator, from validation texts and the scores of their greedy translations."""
    greedy, searched, familiarities = dict[str, Scores](), dict[str, Scores](), dict[str, list[float]]()
    for direction, (texts, scores) in scored.items():
        greedy[format_direction(direction)] = np.array(scores)
        searched[format_direction(direction)] = _search_again(translator, direction, texts, scores)
        encoded = zip(texts, translator.codec.source.encode(texts), strict=True)
        found = [familiarity(profile, text, tokens)[direction[0]] for text, tokens in encoded if tokens]
        familiarities.setdefault(direction[0], []).extend(found)
    return Limits(
        score=_quantiles(searched, _LOW),
        greedy=_quantiles(greedy, _LOW),
        familiarity=_quantiles(familiarities, _UNFAMILIAR),
    )


def calibrate(folder: Path, training: Mapping[str, Iterable[str]], validation: Mapping[str, list[str]]) -> Limits:
    """Give a model folder a profile and limits, in the place of those it has; its weights stay as they are.

    Args:
        folder: of a translator.
        training: texts that it was trained on, by language.
        validation: texts like those that it is made for but not trained on, by language; some hundred or more of each.

    Raises:
        QkvError: the folder is no translator's, a language lacks texts, or the folder cannot be written.
    """
    translator = Translator.load(folder)
    codec, scored = translator.codec, dict[Direction, tuple[list[str], list[float]]]()
    kinds = ("training", training, {*codec.sources, *codec.targets}), ("validation", validation, {*codec.sources})
    for kind, of, needed in kinds:
        if missing := sorted(needed - of.keys()):
            raise QkvError(f"{folder} translates {', '.join(missing)}, too: give {kind} text of it")
    profile = Profile.of(training, codec.source)
    for from_, to in codec.directions:
        found = translator.translate(validation[from_], to, from_, beam_size=1)
        scored[from_, to] = validation[from_], [translation.score for translation in found]
    limits = find_limits(translator, profile, scored)
    config = json_text({**read_config(folder), "limits": vars(limits)}, indent=2)
    for name, content in ((PROFILE, profile.to_bytes()), (CONFIG, f"{config}\n".encode())):
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(content)
    return limits


def _search_again(translator: Translator, direction: Direction, texts: list[str], greedy: list[float]) -> Scores:
    """What the scores would be with beam search, for all that may lie below a limit: the lowest are searched again.

    Beam search seldom finds less than greedy search, so that the others are above these.
    """
    scores, searched, (from_, to) = np.array(greedy), np.zeros(len(greedy), bool), direction
    while True:
        lowest = np.argsort(scores, kind="stable")[: math.ceil(len(scores) * _SEARCHED)]
        todo = lowest[~searched[lowest]]
        if not len(todo):
            return scores
        chosen = [texts[place] for place in todo.tolist()]
        scores[todo] = [found.score for found in translator.translate(chosen, to, from_)]
        searched[todo] = True


def _quantiles(values: Mapping[str, Sequence[float] | Scores], share: float) -> dict[str, float]:
    return {language: float(np.quantile(of, share)) for language, of in values.items() if len(of)}
