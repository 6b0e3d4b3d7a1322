"""Random segmentations of text, each a pure function of a seed.

SentencePiece samples too, but its generators are salted in each process, so that a run could not be repeated.
"""

import math
import random
import re
from itertools import pairwise

from sentencepiece import SentencePieceProcessor

_WORD = re.compile("\u2581*[^\u2581]*")


class SubwordSampler:
    """Draws segmentations by the pieces of a SentencePiece model of the kind bpe or unigram."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor
        ordinary = [
            number
            for number in range(processor.get_piece_size())
            if not (processor.is_control(number) or processor.is_unknown(number) or processor.is_byte(number))
        ]
        # The score of a piece of bpe is its rank, negated; unigram models have logarithms of probabilities.
        self._is_bpe = all(processor.get_score(number).is_integer() for number in ordinary)
        self._ids = {processor.id_to_piece(number): number for number in ordinary}

    def sample(self, text: str, alpha: float, draw: random.Random) -> list[int]:
        """Token ids of a random segmentation of text without lone surrogates.

        `alpha` is for bpe the probability of leaving a merge out (Provilkov et al. 2020, section 3.2), for unigram the
        smoothing exponent of the probabilities of the best segmentations (Kudo 2018, section 3.2).
        """
        return self._merge(text, alpha, draw) if self._is_bpe else self._choose(text, alpha, draw)

    def _choose(self, text: str, alpha: float, draw: random.Random) -> list[int]:
        best = self._processor.nbest_encode_as_proto(text, nbest_size=64).nbests
        if not best:
            return []
        weights = [math.exp(alpha * (candidate.score - best[0].score)) for candidate in best]
        [chosen] = draw.choices(best, weights)
        return [piece.id for piece in chosen.pieces]

    def _merge(self, text: str, alpha: float, draw: random.Random) -> list[int]:
        """The best segmentation is spelt again, word by word: no merge reaches over a space, nor over bytes."""
        ids: list[int] = []
        run = ""
        for number in self._processor.encode(text):
            if self._processor.is_byte(number):
                ids += [*self._spell(run, alpha, draw), number]
                run = ""
            else:
                run += self._processor.id_to_piece(number)
        return ids + self._spell(run, alpha, draw)

    def _spell(self, run: str, alpha: float, draw: random.Random) -> list[int]:
        words = filter(None, _WORD.findall(run))
        return [self._ids[piece] for word in words for piece in self._drop_merges(word, alpha, draw)]

    def _drop_merges(self, word: str, alpha: float, draw: random.Random) -> list[str]:
        """Algorithm 1 of Provilkov et al. 2020: in each round, each possible merge is left out at random."""
        pieces = list(word)
        while True:
            merges = [
                (self._ids[left + right], place)
                for place, (left, right) in enumerate(pairwise(pieces))
                if left + right in self._ids and draw.random() >= alpha
            ]
            if not merges:
                return pieces
            _, place = min(merges)  # ids are in the order of the merges
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
