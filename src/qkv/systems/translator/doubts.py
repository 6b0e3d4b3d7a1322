"""When a translation deserves no trust: its text is in another language, or unlike all training text."""

from collections.abc import Sequence

import numpy as np

from qkv.data.parallel.vocabulary import format_direction
from qkv.generation import Sampling
from qkv.systems.translator.decoding import Decoding
from qkv.systems.translator.profile import Profile
from qkv.systems.translator.saved import Limits

# Nats by which another language must explain a text better: e^10 to 1. On sentences of Tatoeba, which are nothing like
# the captions that the bundled model learnt from, at most 2 in 1,000 were taken for another language.
_CLEARLY = 10.0


class Doubts:
    """The limits of a model, and the profile that they are limits of."""

    def __init__(self, limits: Limits, profile: Profile | None) -> None:
        self._limits, self._profile = limits, profile

    def least_score(
        self, text: str, tokens: Sequence[int], sources: Sequence[str], to: str, decoding: Decoding
    ) -> float:
        """The mean log-probability of a token, in nats, below which the translation of a text is unsure.

        Infinite if the text is unlike the training text of the language among `sources` that it is most likely in.
        """
        found = {} if self._profile is None or not tokens else familiarity(self._profile, text, tokens)
        known = {source: found[source] for source in sources if source in found}
        likeliest = max(known, key=known.__getitem__, default=None)
        if likeliest is not None and known[likeliest] < self._limits.familiarity.get(likeliest, -np.inf):
            return np.inf
        if isinstance(decoding.strategy, Sampling):
            return -np.inf  # what is drawn is less probable than what is searched for
        limits = self._limits.greedy if decoding.width == 1 else self._limits.score
        directions = [(source, to) for source in ([likeliest] if likeliest else sources)]
        return min((limits.get(format_direction(direction), -np.inf) for direction in directions), default=-np.inf)

    def language(self, tokens: Sequence[int], sources: Sequence[str]) -> str | None:
        """The language of the model that a text is clearly in, if it is none of these."""
        found = {} if self._profile is None else self._profile.log_likelihoods(tokens)
        expected = [found.pop(language) for language in sources if language in found]
        if not found or not expected:
            return None
        other = max(found, key=found.__getitem__)
        return other if found[other] > max(expected) + _CLEARLY else None


def familiarity(profile: Profile, text: str, tokens: Sequence[int]) -> dict[str, float]:
    """How well each language's training text predicts a text: nats a character, the closer to 0 the better.

    Per character and not per token, since words that were never seen fall into more tokens.
    """
    characters = max(len(" ".join(text.split())), 1)
    return {language: nats / characters for language, nats in profile.log_likelihoods(tokens).items()}
