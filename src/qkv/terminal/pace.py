"""How fast a part of some work goes, and how long it will take."""

from collections import deque

_APART = 0.1  # seconds between measurements that are kept
_KEPT = 300  # of them: what went slower or faster half a minute ago and more says nothing of what comes


class Pace:
    """Watches one part of some work by a clock that stands still while other parts go on.

    What these took so far is counted for what is left too: a training is interrupted by validations to its end.
    """

    def __init__(self, done: int) -> None:
        self.begun = self.done = done
        self.seconds = 0.0  # that it went on
        self.others = 0.0  # that other parts did, since it began
        self._measured = deque([(0.0, done)], maxlen=_KEPT)

    def measure(self, done: int) -> None:
        """Take down that so many are done by now."""
        if done > self.done:
            self.done = done
            if len(self._measured) > 2 and self.seconds - self._measured[-2][0] < _APART:
                self._measured.pop()
            self._measured.append((self.seconds, done))

    @property
    def rate(self) -> float | None:
        """How many are done in a second; None before the second measurement.

        The time before the first one, with which the watch begins, says nothing: caches were filled, programs compiled.
        """
        (begin, first), (end, last) = self._measured[0], self._measured[-1]
        return (last - first) / (end - begin) if end > begin else None

    def left(self, total: int) -> float | None:
        """Seconds to the end; None before the second measurement."""
        if self.rate is None:
            return None
        return (total - self.done) * (1 / self.rate + self.others / (self.done - self.begun))
