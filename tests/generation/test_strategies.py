"""Greedy, sampling and beam search against exhaustive enumeration and plain implementations."""

import itertools
import math

import pytest
import torch

from generation.decoders import END, Tree, TreeState
from qkv.errors import QkvError
from qkv.generation import Beam, Greedy, Hypothesis, Sampling, Strategy, generate, stream

PROMPT = (2, 1)
ALPHAS = (-1.0, 0.0, 0.6, 1.0, 2.0)


def run(
    tree: Tree, strategy: Strategy, sentences=(0,), max_length=5, prompt=PROMPT, **options
) -> list[list[Hypothesis]]:
    state = TreeState(sentences)
    prompts = torch.tensor([prompt] * len(sentences))
    return generate(tree.decode, state, prompts, strategy, end_id=END, max_length=max_length, **options)


def same(hypotheses: list[Hypothesis], expected: list[tuple[float, tuple[int, ...], float]]) -> bool:
    return [h.tokens for h in hypotheses] == [tokens for _, tokens, _ in expected] and all(
        math.isclose(h.score, score, rel_tol=1e-5) and math.isclose(h.log_probability, total, rel_tol=1e-5)
        for h, (score, _, total) in zip(hypotheses, expected, strict=True)
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_beam_as_wide_as_the_tree_finds_the_best_sequences_there_are(alpha: float):
    tree = Tree(vocabulary=4, seed=1)
    found = run(tree, Beam(size=81, n_best=12, length_penalty=alpha), sentences=(0, 1, 2))
    for sentence, hypotheses in enumerate(found):
        assert same(hypotheses, tree.complete(sentence, PROMPT, 5, alpha)[:12])
        assert all(h.finished for h in hypotheses)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_search_stops_exactly_when_nothing_can_change(alpha: float, size: int):
    stopped_early = 0
    for seed in range(6):
        tree = Tree(vocabulary=7, seed=seed, end_bias=1.5, spread=1.5)
        for n_best in {1, size}:
            for sentence in range(3):
                state = TreeState((sentence,))
                strategy = Beam(size=size, n_best=n_best, length_penalty=alpha)
                (found,) = generate(tree.decode, state, torch.tensor([PROMPT]), strategy, end_id=END, max_length=8)
                expected, steps = tree.beam(sentence, PROMPT, 8, alpha, size, n_best)
                assert same([h for h in found if h.finished], expected)
                assert len(found) == n_best
                assert len(state.rows) == steps
                stopped_early += steps < 8
    assert stopped_early > 0


def test_one_step_is_enough_where_the_end_is_nearly_certain():
    tree = Tree(vocabulary=5, end_bias=20.0)  # the end token has nearly all the probability
    for alpha in ALPHAS:
        state = TreeState((0,))
        generate(tree.decode, state, torch.tensor([PROMPT]), Beam(length_penalty=alpha), end_id=END, max_length=50)
        assert len(state.rows) == 1


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_beam_of_one_is_greedy_search(alpha: float):
    for seed in range(5):
        tree = Tree(vocabulary=6, seed=seed)
        sentences = range(6)
        greedy = run(tree, Greedy(), sentences, max_length=6)
        beam = run(tree, Beam(size=1, length_penalty=alpha), sentences, max_length=6)
        for (one,), (other,) in zip(greedy, beam, strict=True):
            assert (one.tokens, one.log_probability, one.finished) == (
                other.tokens,
                other.log_probability,
                other.finished,
            )
            assert one.score == one.log_probability
            assert other.score == pytest.approx(one.score / (len(one.tokens) + one.finished) ** alpha)


def test_greedy_takes_the_most_probable_token_each_time():
    tree = Tree(vocabulary=6, seed=3)
    for sentence, (found,) in enumerate(run(tree, Greedy(), range(8), max_length=6)):
        tokens: list[int] = []
        total = 0.0
        while len(tokens) < 6:
            log_probs = tree.log_probs(sentence, PROMPT, tokens)
            best = max(range(6), key=log_probs.__getitem__)
            total += log_probs[best]
            if best == END:
                break
            tokens.append(best)
        assert found.tokens == tuple(tokens)
        assert found.log_probability == pytest.approx(total, rel=1e-5)
        assert found.finished == (len(tokens) < 6)


def test_n_best_are_distinct_sorted_and_finished_first():
    tree = Tree(vocabulary=9, seed=5)
    for hypotheses in run(tree, Beam(size=6, n_best=6), range(5), max_length=4):
        assert len(hypotheses) == 6
        assert len({(h.tokens, h.finished) for h in hypotheses}) == 6
        assert [(h.finished, h.score) for h in hypotheses] == sorted(
            ((h.finished, h.score) for h in hypotheses), reverse=True
        )


def test_what_reaches_the_limit_is_returned_unfinished():
    tree = Tree(vocabulary=5, end_bias=-30.0)
    for strategy in (Greedy(), Sampling(n=2), Beam(size=3, n_best=3)):
        for hypotheses, limit in zip(run(tree, strategy, (0, 1, 2), max_length=[1, 4, 2]), (1, 4, 2), strict=True):
            assert len(hypotheses) == strategy.samples * strategy.n_best
            assert all(len(h.tokens) == limit and not h.finished for h in hypotheses)
            assert all(h.score == pytest.approx(h.log_probability / limit**strategy.length_penalty) for h in hypotheses)


@pytest.mark.parametrize("strategy", [Greedy(), Sampling(n=3, seed=4), Beam(size=4, n_best=2)], ids=str)
def test_a_sentence_gives_the_same_alone_and_in_a_batch(strategy: Strategy):
    tree = Tree(vocabulary=6, seed=2, end_bias=0.5)
    limits = [3, 7, 1, 5, 6]
    together = run(tree, strategy, range(5), max_length=limits)
    alone = [run(tree, strategy, (sentence,), max_length=limits[sentence])[0] for sentence in range(5)]
    backwards = run(tree, strategy, range(4, -1, -1), max_length=limits[::-1])
    assert together == alone == backwards[::-1]


def test_scores_are_what_teacher_forcing_gives():
    tree = Tree(vocabulary=6, seed=8)
    strategies = (Greedy(), Sampling(n=3, temperature=0.5, top_k=3, top_p=0.8), Beam(size=4, n_best=4))
    for strategy in strategies:
        for sentence, hypotheses in enumerate(run(tree, strategy, range(4))):
            for h in hypotheses:
                tokens = [*h.tokens, END] if h.finished else h.tokens
                steps = [tree.log_probs(sentence, PROMPT, h.tokens[:i])[token] for i, token in enumerate(tokens)]
                assert h.log_probability == pytest.approx(sum(steps), rel=1e-5)


def test_finished_sentences_leave_the_batch_and_the_first_step_reads_each_prompt_once():
    tree = Tree(vocabulary=6, seed=4)
    sentences = range(12)
    for strategy, width in ((Greedy(), 1), (Sampling(n=4), 4), (Beam(size=3), 3)):
        state = TreeState(sentences)
        limits = [1 + i // 2 for i in sentences]
        prompts = torch.tensor([PROMPT] * len(sentences))
        generate(tree.decode, state, prompts, strategy, end_id=END, max_length=limits)
        assert state.rows[0] == 12
        assert all(after <= width * sum(limit > step for limit in limits) for step, after in enumerate(state.rows))
        assert state.rows[-1] < state.rows[1]


def test_the_cache_is_left_alone_while_no_row_moves():
    tree = Tree(vocabulary=5, end_bias=-30.0)
    state = TreeState(range(3))
    generate(tree.decode, state, torch.tensor([PROMPT] * 3), Greedy(), end_id=END, max_length=6)
    assert len(state.rows) == 6
    assert state.reorders == 0


def test_a_vocabulary_smaller_than_the_beam():
    for vocabulary in (2, 3):
        tree = Tree(vocabulary=vocabulary)
        (found,) = run(tree, Beam(size=20, n_best=20), max_length=3)
        everything = tree.complete(0, PROMPT, 3, 1.0)
        assert same([h for h in found if h.finished], everything)
        assert len(found) == len(everything) + (vocabulary - 1) ** 3


def test_impossible_tokens_are_never_chosen():
    def decode(tokens, state):
        logits = tree.decode(tokens, state)
        logits[:, 3:] = -math.inf
        return logits

    tree = Tree(vocabulary=8, seed=6)
    for strategy in (Greedy(), Sampling(n=5, temperature=9.0, top_k=6, top_p=0.99), Beam(size=4, n_best=4)):
        prompts = torch.tensor([PROMPT] * 3)
        found = generate(decode, TreeState(range(3)), prompts, strategy, end_id=END, max_length=4)
        for h in itertools.chain.from_iterable(found):
            assert max(h.tokens, default=0) < 3
            assert math.isfinite(h.log_probability)


def chi_square(observed: dict, expected: dict[tuple[int, ...], float], n: int) -> float:
    """Pearson's statistic divided by its degrees of freedom; rare outcomes are counted as one."""
    common = [outcome for outcome, p in expected.items() if p * n >= 5]
    rest = 1.0 - sum(expected[outcome] for outcome in common)
    cells = [(observed.get(outcome, 0), expected[outcome] * n) for outcome in common]
    if rest * n >= 5:
        cells.append((n - sum(count for count, _ in cells), rest * n))
    return sum((count - mean) ** 2 / mean for count, mean in cells) / (len(cells) - 1)


def restricted(log_probs: list[float], strategy: Sampling) -> list[float]:
    """The distribution that `strategy` draws from, by sorting and adding."""
    weights = {token: math.exp(value / strategy.temperature) for token, value in enumerate(log_probs)}
    order = sorted(weights, key=weights.__getitem__, reverse=True)[: strategy.top_k]
    total = sum(weights[token] for token in order)
    allowed, mass = [], 0.0
    for token in order:
        if strategy.top_p is not None and mass >= strategy.top_p:
            break
        allowed.append(token)
        mass += weights[token] / total
    total = sum(weights[token] for token in allowed)
    return [weights[token] / total if token in allowed else 0.0 for token in range(len(log_probs))]


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 1.7, "top_k": 4, "top_p": 0.8}],
    ids=str,
)
def test_samples_follow_the_distribution(options: dict):
    n = 4000
    strategy = Sampling(n=n, seed=11, **options)
    tree = Tree(vocabulary=5, seed=9)
    expected = {}
    for outcome in [(END,), *itertools.product(range(1, 5), range(5))]:
        p = 1.0
        for position, token in enumerate(outcome):
            p *= restricted(tree.log_probs(0, PROMPT, outcome[:position]), strategy)[token]
        expected[outcome] = p
    assert sum(expected.values()) == pytest.approx(1.0)
    observed: dict[tuple[int, ...], int] = {}
    (found,) = run(tree, strategy, max_length=2)
    for h in found:
        outcome = (*h.tokens, END) if h.finished else h.tokens
        observed[outcome] = observed.get(outcome, 0) + 1
    assert sum(observed.values()) == n
    assert all(expected[outcome] > 0 for outcome in observed)
    assert chi_square(observed, expected, n) < 2.0


def test_a_seed_repeats_itself_and_another_does_not():
    tree = Tree(vocabulary=50)
    assert run(tree, Sampling(seed=1), range(3)) == run(tree, Sampling(seed=1), range(3))
    assert run(tree, Sampling(seed=1), range(3)) != run(tree, Sampling(seed=2), range(3))


def test_more_samples_leave_the_earlier_ones_as_they_were():
    tree = Tree(vocabulary=50)
    few, many = (run(tree, Sampling(seed=1, n=n), range(3)) for n in (2, 5))
    for sentence in range(3):
        assert set(few[sentence]) <= set(many[sentence])
        assert len(set(many[sentence])) == 5


def test_inputs_draw_for_themselves_alone_and_in_a_batch():
    tree = Tree(vocabulary=50)
    inputs = [(5, 6), (7,), (5, 6)]
    same = run(tree, Sampling(seed=1, n=2), [0, 0, 0])  # rows of one distribution
    assert same[0] == same[1] == same[2]
    apart = run(tree, Sampling(seed=1, n=2).for_inputs(inputs), [0, 0, 0])
    assert apart[0] == apart[2] != apart[1]
    assert run(tree, Sampling(seed=1, n=2).for_inputs(inputs[1:2]), [0]) == [apart[1]]


def test_top_k_of_one_is_greedy_search():
    tree = Tree(vocabulary=6, seed=1)
    assert run(tree, Sampling(top_k=1, seed=5), range(4)) == run(tree, Greedy(), range(4))


@pytest.mark.parametrize("strategy", [Greedy(), Sampling(seed=3)], ids=str)
def test_streaming_gives_what_generate_gives(strategy: Greedy | Sampling):
    tree = Tree(vocabulary=6, seed=2, end_bias=1.0)
    sentences, limits = range(6), [4, 1, 6, 5, 3, 2]
    prompts = torch.tensor([PROMPT] * 6)
    streamed: list[list[int]] = [[] for _ in sentences]
    for step in stream(tree.decode, TreeState(sentences), prompts, strategy, end_id=END, max_length=limits):
        for row, token in step:
            streamed[row].append(token)
    assert [tuple(tokens) for tokens in streamed] == [
        hypotheses[0].tokens for hypotheses in run(tree, strategy, sentences, max_length=limits)
    ]


def test_the_stream_is_read_as_it_is_written():
    tree, state = Tree(vocabulary=5, end_bias=-30.0), TreeState((0,))
    tokens = stream(tree.decode, state, torch.tensor([PROMPT]), Greedy(), end_id=END, max_length=9)
    assert state.rows == []
    next(tokens)
    next(tokens)
    assert state.rows == [1, 1]


def test_the_model_runs_in_inference_mode_and_whoever_reads_the_stream_does_not():
    modes = []

    def decode(tokens, state):
        modes.append(torch.is_inference_mode_enabled())
        return Tree(vocabulary=5, end_bias=-30.0).decode(tokens, state)

    for _ in stream(decode, TreeState((0,)), torch.tensor([PROMPT]), Greedy(), end_id=END, max_length=4):
        assert not torch.is_inference_mode_enabled()
    assert modes == [True] * 4


def test_no_rows_give_no_hypotheses():
    prompts = torch.empty(0, 1, dtype=torch.long)
    assert generate(Tree(4).decode, TreeState(()), prompts, Beam(), end_id=END, max_length=5) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Beam(size=0), "size"),
        (lambda: Beam(size=3, n_best=4), "n_best"),
        (lambda: Beam(n_best=0), "n_best"),
        (lambda: Beam(length_penalty=math.nan), "length_penalty"),
        (lambda: Beam(length_penalty=math.inf), "length_penalty"),
        (lambda: Sampling(temperature=0.0), "temperature"),
        (lambda: Sampling(temperature=math.nan), "temperature"),
        (lambda: Sampling(top_k=0), "top_k"),
        (lambda: Sampling(top_p=0.0), "top_p"),
        (lambda: Sampling(top_p=1.1), "top_p"),
        (lambda: Sampling(top_k=1, top_p=0.5), "top_p"),
        (lambda: Sampling(n=0), "n must"),
        (lambda: Sampling(seed=-1), "seed"),
        (lambda: run(Tree(4), Greedy(), max_length=0), "max_length"),
        (lambda: run(Tree(4), Greedy(), (0, 1), max_length=[3]), "max_length"),
        (
            lambda: stream(Tree(4).decode, TreeState((0,)), torch.tensor([PROMPT]), Beam(), end_id=END, max_length=3),
            "stream",
        ),
        (
            lambda: stream(
                Tree(4).decode, TreeState((0,)), torch.tensor([PROMPT]), Sampling(n=2), end_id=END, max_length=3
            ),
            "stream",
        ),
    ],
)
def test_contradictions_are_refused_in_one_line(make, words: str):
    with pytest.raises(QkvError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_logits_that_are_not_numbers_are_an_error():
    def decode(tokens, state):
        return torch.full((len(tokens), 5), math.nan)

    for strategy in (Greedy(), Sampling(), Sampling(top_k=3, top_p=0.5), Beam()):
        with pytest.raises(QkvError, match="NaN"):
            generate(decode, TreeState((0,)), torch.tensor([PROMPT]), strategy, end_id=END, max_length=3)
