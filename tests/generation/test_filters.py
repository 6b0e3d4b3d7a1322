"""Filters forbid what they say, nothing else, and refuse contradictions before anything is generated."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType

import pytest
import torch
from torch import Tensor

from generation.decoders import END, Tree, TreeState
from qkv.errors import QkvError
from qkv.generation import (
    Beam,
    ForcedPrefix,
    Greedy,
    Hypothesis,
    Live,
    MinLength,
    NoRepeatNgram,
    Sampling,
    generate,
)
from qkv.generation.filters import Request


@dataclass(frozen=True)
class Without:
    """A filter of one's own: these tokens are never generated."""

    ids: Sequence[int]

    def __call__(self, log_probs: Tensor, live: Live) -> Tensor:
        return log_probs.index_fill(1, torch.tensor(self.ids, dtype=torch.long), -torch.inf)

    def check(self, request: Request) -> None:
        """Goes with every request."""


STRATEGIES = [Greedy(), Sampling(n=3, seed=2), Beam(size=4, n_best=3)]


def run(tree: Tree, strategy, filters, sentences=(0, 1, 2), max_length=7) -> list[list[Hypothesis]]:
    prompts = torch.tensor([[2]] * len(sentences))
    return generate(
        tree.decode, TreeState(sentences), prompts, strategy, end_id=END, max_length=max_length, filters=filters
    )


def no_repeat(n: int):
    def accept(tokens: tuple[int, ...]) -> bool:
        grams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
        return len(grams) == len(set(grams))

    return accept


@pytest.mark.parametrize(
    ("one", "accept"),
    [
        (MinLength(3), lambda tokens: len(tokens) >= 3),
        (MinLength(0), lambda tokens: True),
        (Without([1, 3]), lambda tokens: not {1, 3} & set(tokens)),
        (NoRepeatNgram(1), no_repeat(1)),
        (NoRepeatNgram(2), no_repeat(2)),
        (NoRepeatNgram(3), no_repeat(3)),
        (ForcedPrefix([3, 1]), lambda tokens: tokens[:2] == (3, 1)),
        (ForcedPrefix([[2]]), lambda tokens: tokens[:1] == (2,)),
        (ForcedPrefix([]), lambda tokens: True),
        (ForcedPrefix([[]]), lambda tokens: True),
    ],
    ids=lambda value: "" if isinstance(value, FunctionType) else str(value),  # a function's address is never the same
)
def test_a_filter_forbids_exactly_what_it_says(one, accept):
    tree = Tree(vocabulary=4, seed=7)
    (found,) = run(tree, Beam(size=400, n_best=400, length_penalty=0.5), [one], sentences=(0,), max_length=5)
    finished = [h for h in found if h.finished]
    expected = [(tokens, total) for _, tokens, total in tree.complete(0, [2], 5, 0.5) if accept(tokens)]
    assert [h.tokens for h in finished] == [tokens for tokens, _ in expected]
    # Scores are the model's own: a filter renormalises nothing.
    assert [h.log_probability for h in finished] == pytest.approx([total for _, total in expected], rel=1e-5)
    assert all(accept(h.tokens) for h in found)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_filters_work_together_in_a_batch(strategy):
    tree = Tree(vocabulary=8, seed=1, end_bias=1.0)
    filters = [NoRepeatNgram(2), MinLength(3), ForcedPrefix([[5], [], [6, 6, 7]]), Without((1, 4))]
    limits = [4, 6, 7]
    found = run(tree, strategy, filters, max_length=limits)
    for hypotheses, prefix, limit in zip(found, ((5,), (), (6, 6, 7)), limits, strict=True):
        assert hypotheses
        for h in hypotheses:
            assert h.tokens[: len(prefix)] == prefix
            assert 3 <= len(h.tokens) <= limit
            assert no_repeat(2)(h.tokens)
            assert not {1, 4} & set(h.tokens)
    for sentence in range(3):
        one = [NoRepeatNgram(2), MinLength(3), Without((1, 4))]
        one.append(ForcedPrefix([[5], [], [6, 6, 7]][sentence]))
        assert run(tree, strategy, one, (sentence,), limits[sentence]) == [found[sentence]]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_hypothesis_with_no_way_on_is_returned_unfinished(strategy):
    tree = Tree(vocabulary=3, seed=1)
    for hypotheses in run(tree, strategy, [NoRepeatNgram(1), MinLength(4)]):
        assert [h.finished for h in hypotheses] == [False] * len(hypotheses)
        assert all(set(h.tokens) == {1, 2} for h in hypotheses)
        assert len(hypotheses) == min(strategy.samples * strategy.n_best, 2 if strategy.n_best > 1 else 3)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_nothing_at_all_is_allowed(strategy):
    for hypotheses in run(Tree(vocabulary=3), strategy, [Without([1, 2]), MinLength(1)]):
        assert {(h.tokens, h.score, h.finished) for h in hypotheses} == {((), 0.0, False)}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([MinLength(7)], "at least 7 tokens"),
        ([ForcedPrefix([1] * 7)], "has 7 tokens"),
        ([ForcedPrefix([[1], [2]])], "2 forced prefixes for 3 rows"),
        ([ForcedPrefix([1, END])], "end token"),
        ([ForcedPrefix([1, 9])], "token 9"),
        ([ForcedPrefix([1, -1])], "token -1"),
        ([Without([2]), ForcedPrefix([[1], [3, 2], [1]])], "row 1 has token 2 at position 1"),
        ([ForcedPrefix([3, 4, 3, 4]), NoRepeatNgram(2)], "at position 3"),
        ([ForcedPrefix([3]), ForcedPrefix([4])], "forbids"),
    ],
    ids=str,
)
def test_contradictions_are_refused_before_the_first_token(filters, words: str):
    with pytest.raises(QkvError, match=words) as error:
        run(Tree(vocabulary=6), Greedy(), filters)
    assert "\n" not in str(error.value)


def test_a_minimum_length_needs_an_end_token():
    with pytest.raises(QkvError, match="this model has none"):
        generate(
            Tree(vocabulary=6).decode,
            TreeState((0,)),
            torch.tensor([[2]]),
            Greedy(),
            end_id=6,
            max_length=5,
            filters=[MinLength(2)],
        )


def test_without_an_end_token_everything_is_as_long_as_allowed():
    tree = Tree(vocabulary=6, seed=1)
    for strategy in STRATEGIES:
        prompts = torch.tensor([[2]] * 2)
        found = generate(tree.decode, TreeState((0, 1)), prompts, strategy, end_id=6, max_length=[3, 5])
        for hypotheses, length in zip(found, (3, 5), strict=True):
            assert len(hypotheses) == strategy.samples * strategy.n_best
            assert all(len(h.tokens) == length for h in hypotheses)


def test_a_repeated_sequence_has_a_length():
    with pytest.raises(QkvError, match="n = 0"):
        NoRepeatNgram(0)
