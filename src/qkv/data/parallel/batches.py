"""Batches of sentence pairs: which pairs meet in one, and how they become tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qkv.data.parallel.examples import BLOCK, Examples, Indices
from qkv.data.randomness import derive_seed, permute
from qkv.data.text.padding import pad
from qkv.data.text.tokenizer import BEGIN, END
from qkv.errors import QkvError


@dataclass(frozen=True)
class TranslationBatch:
    """Sentence pairs as tensors, padded on the right with PAD."""

    source: Int[Tensor, "B S"]  # what the encoder reads: tag if any, tokens, END
    source_lengths: Int[Tensor, "B"]  # tag and END included
    target_input: Int[Tensor, "B T"]  # what the decoder reads: BEGIN, tokens
    target_output: Int[Tensor, "B T"]  # what it is to say: tokens, END


def collate(
    examples: Examples, indices: Indices, *, sampling: float = 0.0, sample_target: bool = False, seed: int = 0
) -> TranslationBatch:
    """The pairs with these numbers as a batch; sampled as by `Examples.tokens`."""
    sources, targets = examples.tokens(indices, sampling=sampling, sample_target=sample_target, seed=seed)
    return TranslationBatch(
        pad(sources),
        torch.tensor([len(row) for row in sources]),
        pad([np.concatenate([[BEGIN], row]) for row in targets]),
        pad([np.concatenate([row, [END]]) for row in targets]),
    )


class BatchSampler:
    """Which pairs make up which batch: a pure function of (seed, epoch).

    Each direction is drawn in consecutive passes over permutations of its pairs, so that none is seen twice before all
    are seen once, whatever its share of an epoch is. Pairs are drawn in windows; within a window, those of like length
    meet in a batch, and batches are shuffled. Only a window is ever in memory.

    A direction with n pairs is drawn in proportion to n^(1/temperature), times its one of `weights`. A batch has at
    most `batch_tokens` as sentences times the longest sentence of either side; a window has about `window` draws.
    """

    def __init__(
        self,
        examples: Examples,
        batch_tokens: int,
        temperature: float = 1.0,
        weights: Sequence[float] = (1.0,),
        *,
        seed: int,
        window: int = BLOCK,
    ) -> None:
        longest = max(examples.longest_source, examples.longest_target)
        if longest > batch_tokens:
            advice = "raise it, or lower max_length"
            raise QkvError(f"batch_tokens {batch_tokens} cannot hold a sentence of {longest}: {advice}")
        self.examples, self._batch_tokens, self._seed = examples, batch_tokens, seed
        usable = examples.usable_pairs.astype(float)
        proportions = usable ** (1 / temperature) * np.array(weights)
        # Unusable pairs are drawn and dropped, which spares a list of the usable ones; hence the quotient.
        self._sizes = [examples.size(direction) for direction in range(len(usable))]
        draws = usable.sum() * proportions / proportions.sum() * np.divide(self._sizes, usable)
        self._draws = [max(1, round(n)) for n in draws]
        self.windows = max(1, round(sum(self._draws) / window))

    def batches(self, epoch: int) -> "Epoch":
        """The batches of an epoch, each an array of numbers of pairs. Epoch 0 begins with the longest sentences."""
        return Epoch(self, epoch)

    def plan(self, epoch: int, window: int) -> tuple[list[Indices], int]:
        """The batches of one window, shuffled, and the place of the longest among them."""
        indices = np.concatenate([self._drawn(direction, epoch, window) for direction in range(len(self._draws))])
        indices = indices[self.examples.usable(indices)]
        indices = indices[permute(np.arange(len(indices)), len(indices), derive_seed(self._seed, epoch, window))]
        batches = cut_by_length(self.examples, indices, self._batch_tokens)
        order = permute(np.arange(len(batches)), len(batches), derive_seed(self._seed, epoch, window, "batches"))
        return [batches[place] for place in order], int(np.argmin(order)) if len(order) else 0

    def _drawn(self, direction: int, epoch: int, window: int) -> Indices:
        """The pairs that a direction contributes to a window."""
        size, draws = self._sizes[direction], self._draws[direction]
        start, stop = (epoch * draws + draws * w // self.windows for w in (window, window + 1))
        passes, places = np.divmod(np.arange(start, stop), size)
        drawn = np.empty(stop - start, np.int64)
        for number in np.unique(passes):
            of_pass = passes == number
            drawn[of_pass] = permute(places[of_pass], size, derive_seed(self._seed, direction, int(number), "pass"))
        return drawn + self.examples.range(direction)[0]


class Epoch:
    """The batches of an epoch by number, worked out a window at a time."""

    def __init__(self, sampler: BatchSampler, epoch: int) -> None:
        self._sampler, self._epoch = sampler, epoch
        counts, longest = [0], (0, 0)
        for self._window in range(sampler.windows):
            self._batches, place = sampler.plan(epoch, self._window)
            if self._batches and epoch == 0:
                # The first step then takes the memory that any step will take.
                lengths = sampler.examples.lengths(self._batches[place])
                longest = max(longest, (int(np.max(lengths)), sum(counts) + place))
            counts.append(len(self._batches))
        self._first = longest[1]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> Indices:
        if not 0 <= number < len(self):
            raise IndexError(number)  # which also ends a loop over the batches
        number = {0: self._first, self._first: 0}.get(number, number)
        window = int(np.searchsorted(self._ends, number, side="right")) - 1
        if window != self._window:
            self._window, (self._batches, _) = window, self._sampler.plan(self._epoch, window)
        return self._batches[number - self._ends[window]]


def cut_by_length(examples: Examples, indices: Indices, batch_tokens: int) -> list[Indices]:
    """Batches of pairs of like length, the longest first; pairs of equal length keep their order.

    In each, sentences times the longest sentence of either side is at most `batch_tokens`.
    """
    source, target = (lengths.astype(np.int64) for lengths in examples.lengths(indices))
    longest = np.maximum(source, target)
    order = np.argsort(-(longest * (longest.max(initial=0) + 1) + source), kind="stable")
    indices, longest = indices[order], longest[order]
    batches, start = [], 0
    while start < len(indices):
        stop = start + batch_tokens // int(longest[start])
        batches.append(indices[start:stop])
        start = stop
    return batches
