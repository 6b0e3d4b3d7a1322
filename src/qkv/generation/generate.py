"""The one loop that turns a model's logits into sequences, for every strategy and every model."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.errors import QkvError
from qkv.generation.filters import Filter, Request
from qkv.generation.hypotheses import Hypothesis, Kept, Live
from qkv.generation.strategies import Greedy, Sampling, Strategy


@runtime_checkable
class DecoderState(Protocol):
    """What a model carries from step to step, a row for each hypothesis."""

    def reorder(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be repeated or left out."""
        ...


State = TypeVar("State", bound=DecoderState)

Decode = Callable[[Int[Tensor, "N T"], State], Float[Tensor, "N V"]]
"""Appends T tokens to each row's past and returns the logits of the token after the last."""


def generate(
    decode: Decode[State],
    state: State,
    prompt: Int[Tensor, "B P"],
    strategy: Strategy,
    *,
    end_id: int,
    max_length: int | Sequence[int],
    filters: Sequence[Filter] = (),
) -> list[list[Hypothesis]]:
    """Generate after each row of the prompt.

    Args:
        decode: the model's step, `model.decode`.
        state: what `model.start` returned for these B rows. It is used up. Room for P + max_length tokens is enough.
        prompt: the first P tokens of each row, at least one; they are read in one step.
        strategy: how tokens are chosen.
        end_id: the token that finishes a hypothesis; one beyond the vocabulary where all are `max_length` long.
        max_length: most tokens to generate, the end token included, for all rows or for each. Beam search with a
            positive length penalty must look that far ahead before it may stop: a tight limit makes it quick.
        filters: what may not be generated.

    Returns:
        For each row its hypotheses, best first: `strategy.samples * strategy.n_best` of them, fewer where the filters
        or the limit allow fewer, and never none.

    Raises:
        QkvError: the options contradict one another, or the model's logits are not numbers.
    """
    limits = _limits(max_length, len(prompt))
    kept = _kept(limits, strategy, prompt.device)
    for _ in _steps(decode, state, prompt, strategy, kept, end_id, limits, tuple(filters)):
        pass
    return kept.by_sentence(strategy.samples)


def stream(
    decode: Decode[State],
    state: State,
    prompt: Int[Tensor, "B P"],
    strategy: Strategy,
    *,
    end_id: int,
    max_length: int | Sequence[int],
    filters: Sequence[Filter] = (),
) -> Iterator[list[tuple[int, int]]]:
    """Generate token by token; the same arguments, the same loop and the same tokens as `generate`.

    The strategy must be one whose tokens are final when they are chosen: greedy, or sampling with n = 1.

    Returns:
        An iterator that gives at each step the new (row, token) pairs, without end tokens. A row that is missing from
        a step has finished.

    Raises:
        QkvError: the strategy takes tokens back, or the options contradict one another.
    """
    if not isinstance(strategy, Greedy | Sampling) or strategy.samples > 1:
        raise QkvError(f"{strategy} cannot be streamed: stream greedy search, or sampling with n = 1")
    limits = _limits(max_length, len(prompt))
    kept = _kept(limits, strategy, prompt.device)
    steps = _steps(decode, state, prompt, strategy, kept, end_id, limits, tuple(filters))
    return (list(zip(live.sentence.tolist(), live.tokens[:, -1].tolist(), strict=True)) for live in steps)


def _steps(
    decode: Decode[State],
    state: State,
    prompt: Int[Tensor, "B P"],
    strategy: Strategy,
    kept: Kept,
    end_id: int,
    limits: tuple[int, ...],
    filters: tuple[Filter, ...],
) -> Iterator[Live]:
    """Run to the end; after each step give the hypotheses that have a new token other than the end token."""
    if len(prompt) == 0:
        return
    live, logits = _read_prompt(decode, state, prompt, strategy.samples, end_id)
    request = Request(limits=limits, vocabulary=logits.shape[1], end_id=end_id, filters=filters)
    for each in filters:
        each.check(request)
    limit = torch.tensor(limits, device=prompt.device)
    while True:
        with torch.inference_mode():  # The mode must not reach whoever reads the stream, so it ends before the yield.
            log_probs = logits.float().log_softmax(dim=-1)
            for each in filters:
                log_probs = each(log_probs, live)
            if filters:
                kept.add(live, log_probs.amax(dim=-1) == -math.inf, finished=False)
            parents, tokens = strategy.select(log_probs, live)
            grown = live.extend(parents, tokens, log_probs)
            if grown.log_probability.isnan().any():
                raise QkvError("the model's logits are not numbers (NaN): its weights are damaged, or it overflows")
            possible = grown.log_probability > -math.inf
            ends = tokens == end_id
            at_limit = limit[grown.sentence] == grown.length
            kept.add(grown, possible & ends, finished=True)
            kept.add(grown, possible & ~ends & at_limit, finished=False)
            emitted = possible & ~ends
        yield grown.take(emitted)
        with torch.inference_mode():
            goes_on = emitted & ~at_limit
            goes_on &= kept.can_improve(grown, goes_on)
            if not goes_on.any():
                return
            order = parents[goes_on]
            if len(order) != len(live.search) or not torch.equal(order, torch.arange(len(order), device=order.device)):
                state.reorder(order)
            live = grown.take(goes_on)
            logits = decode(live.tokens[:, -1:], state)


@torch.inference_mode()
def _read_prompt(
    decode: Decode[State], state: State, prompt: Int[Tensor, "B P"], samples: int, end_id: int
) -> tuple[Live, Float[Tensor, "N V"]]:
    """The empty hypotheses and the logits of their first tokens; a prompt is read once for all its samples."""
    logits = decode(prompt, state)
    rows = torch.arange(len(prompt), device=prompt.device).repeat_interleave(samples)
    if samples > 1:
        state.reorder(rows)
        logits = logits[rows]
    live = Live(
        tokens=prompt.new_empty(len(rows), 0),
        log_probability=torch.zeros(len(rows), device=prompt.device),
        search=torch.arange(len(rows), device=prompt.device),
        samples=samples,
        end_id=end_id,
    )
    return live, logits


def _kept(limits: tuple[int, ...], strategy: Strategy, device: torch.device) -> Kept:
    searches = torch.tensor(limits, dtype=torch.long, device=device).repeat_interleave(strategy.samples)
    return Kept(searches, strategy.n_best, strategy.length_penalty)


def _limits(max_length: int | Sequence[int], rows: int) -> tuple[int, ...]:
    limits = (max_length,) * rows if isinstance(max_length, int) else tuple(max_length)
    if len(limits) != rows:
        raise QkvError(f"{len(limits)} values of max_length for {rows} rows; give one, or one for each")
    if limits and min(limits) < 1:
        raise QkvError(f"max_length must be at least 1, not {min(limits)}")
    return limits
