"""Guidance against its formula, on models whose every probability is known."""

import itertools
import math

import pytest
import torch

from generation.decoders import END, Tree, TreeState
from qkv.errors import QkvError
from qkv.generation import Beam, Greedy, Guided, GuidedState, Hypothesis, Sampling, Strategy, generate

STRATEGIES = [Greedy(), Sampling(n=3, seed=4), Beam(size=4, n_best=3)]
UNASKED = 9  # the sentence of a row without its condition


def guided(tree: Tree, strategy: Strategy, scale: float, sentences=(0, 1, 2), max_length=5) -> list[list[Hypothesis]]:
    state = GuidedState(TreeState([*sentences, *[UNASKED] * len(sentences)]), len(sentences))
    prompts = torch.tensor([[2, 1]] * len(sentences))
    return generate(Guided(tree.decode, scale), state, prompts, strategy, end_id=END, max_length=max_length)


def plain(tree: Tree, strategy: Strategy, sentences=(0, 1, 2), max_length=5) -> list[list[Hypothesis]]:
    prompts = torch.tensor([[2, 1]] * len(sentences))
    return generate(tree.decode, TreeState(sentences), prompts, strategy, end_id=END, max_length=max_length)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_scale_of_one_is_no_guidance_to_the_last_bit(strategy: Strategy):
    tree = Tree(vocabulary=6, seed=2, end_bias=0.5)
    assert guided(tree, strategy, 1.0) == plain(tree, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_scale_of_zero_does_not_know_the_condition(strategy: Strategy):
    tree = Tree(vocabulary=6, seed=2, end_bias=0.5)
    expected = plain(tree, strategy, (UNASKED,))
    for hypotheses in guided(tree, strategy, 0.0):
        assert [h.tokens for h in hypotheses] == [h.tokens for h in expected[0]]


@pytest.mark.parametrize("scale", [0.5, 2.0, 7.5])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_scores_are_the_formula_token_by_token(strategy: Strategy, scale: float):
    tree = Tree(vocabulary=6, seed=3)
    for sentence, hypotheses in enumerate(guided(tree, strategy, scale)):
        for h in hypotheses:
            total = 0.0
            for i, token in enumerate([*h.tokens, *[END] * h.finished]):
                past = [2, 1, *h.tokens[:i]]
                asked, unasked = tree.logits(sentence, past), tree.logits(UNASKED, past)
                total += (unasked + scale * (asked - unasked)).log_softmax(dim=-1)[token].item()
            assert h.log_probability == pytest.approx(total, rel=1e-4)


def test_guidance_makes_more_of_what_the_condition_adds():
    """Greedy tokens gain, over those without guidance, in log p(token | condition) - log p(token)."""

    def gain(tree: Tree, found: list[list[Hypothesis]]) -> float:
        first = [(row, h.tokens[0]) for row, (h,) in enumerate(found)]
        rows = ((tree.logits(row, [2, 1]), tree.logits(UNASKED, [2, 1]), token) for row, token in first)
        return sum((a.log_softmax(0)[token] - u.log_softmax(0)[token]).item() for a, u, token in rows)

    trees = [Tree(vocabulary=9, seed=seed, end_bias=-30.0) for seed in range(5)]
    gains = [[gain(tree, guided(tree, Greedy(), scale, max_length=1)) for tree in trees] for scale in (0.0, 1.0, 3.0)]
    for weaker, stronger in itertools.pairwise(gains):
        assert all(a <= b + 1e-6 for a, b in zip(weaker, stronger, strict=True))
        assert sum(weaker) < sum(stronger)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_row_gives_the_same_alone_and_in_a_batch(strategy: Strategy):
    tree = Tree(vocabulary=6, seed=5, end_bias=0.5)  # ends at different lengths, so that rows leave the batch
    together = guided(tree, strategy, 2.0)
    assert together == [guided(tree, strategy, 2.0, (sentence,))[0] for sentence in range(3)]


def test_the_state_keeps_twins_together():
    state = GuidedState(TreeState([0, 1, 2, 10, 11, 12]), 3)
    state.reorder(torch.tensor([2, 0, 0, 1]))
    assert state.state.sentences.tolist() == [2, 0, 0, 1, 12, 10, 10, 11]
    state.reorder(torch.tensor([3, 1]))
    assert state.state.sentences.tolist() == [1, 0, 11, 10]


@pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf])
def test_a_scale_that_means_nothing_is_refused(scale: float):
    with pytest.raises(QkvError, match="the scale of guidance must be a number from 0 up") as error:
        Guided(Tree(4).decode, scale)
    assert "\n" not in str(error.value)
