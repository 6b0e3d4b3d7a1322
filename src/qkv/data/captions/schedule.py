"""Which of its captions a picture shows in an epoch."""

import numpy as np
from numpy.typing import NDArray

from qkv.data.pictures.sources import Indices
from qkv.data.randomness import derive_seed, permute


class CaptionSchedule:
    """One caption of each picture an epoch: a pure function of (seed, epoch, picture).

    Pictures that have captions in the same languages share these out among themselves: in every epoch as exactly by
    weight as whole numbers allow, and over as many epochs as there are languages the same for each picture, so that
    with equal weights it is shown once in each. Of several captions in the language, one is drawn.

    `pictures` and `languages` are those of each caption; the former ascend from 0 on without a gap.
    """

    def __init__(
        self, pictures: Indices, languages: NDArray[np.int16], weights: NDArray[np.float64], seed: int
    ) -> None:
        self._languages, self._weights, self._seed = languages, weights, seed
        n_pictures = int(pictures[-1]) + 1
        self._starts = np.searchsorted(pictures, np.arange(n_pictures + 1))
        has = np.zeros((n_pictures, len(weights)), bool)
        has[pictures, languages] = True
        sets, self._set = np.unique(np.packbits(has, axis=1), axis=0, return_inverse=True)
        self._languages_of = [np.flatnonzero(row) for row in np.unpackbits(sets, axis=1, count=len(weights))]
        self._sizes = np.bincount(self._set)
        order = np.argsort(self._set, kind="stable")
        self._place = np.empty(n_pictures, np.int64)  # of a picture among those of its set
        self._place[order] = np.arange(n_pictures) - (np.cumsum(self._sizes) - self._sizes)[self._set[order]]

    def captions(self, pictures: Indices, epochs: Indices) -> Indices:
        """The caption, by number, that each of these pictures shows in its epoch."""
        shown = np.empty(len(pictures), np.int64)
        for epoch in np.unique(epochs).tolist():
            of_epoch = epochs == epoch
            members = pictures[of_epoch]
            pairs = zip(members.tolist(), self._shown(members, epoch))
            shown[of_epoch] = [self._caption(picture, language, epoch) for picture, language in pairs]
        return shown

    def _shown(self, pictures: Indices, epoch: int) -> list[int]:
        """The language of each picture: its random place in its set, looked up in the cumulative weights."""
        shown = np.empty(len(pictures), np.int64)
        for number in np.unique(self._set[pictures]).tolist():
            languages, size = self._languages_of[number], int(self._sizes[number])
            cycle, turn = divmod(epoch, len(languages))
            of_set = self._set[pictures] == number
            places = permute(self._place[pictures[of_set]], size, derive_seed(self._seed, "language", number, cycle))
            shares = ((places + 0.5) / size + turn / len(languages)) % 1
            ends = np.cumsum(self._weights[languages])
            shown[of_set] = languages[np.searchsorted(ends[:-1] / ends[-1], shares, side="right")]
        return shown.tolist()

    def _caption(self, picture: int, language: int, epoch: int) -> int:
        start, stop = self._starts[picture], self._starts[picture + 1]
        candidates = start + np.flatnonzero(self._languages[start:stop] == language)
        return int(candidates[derive_seed(self._seed, "caption", epoch, picture) % len(candidates)])
