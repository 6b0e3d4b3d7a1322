"""Recurrent translators: PyTorch's layers and the papers' equations, and what holds whatever the weights."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from tests.models.invariants import check_every_source_token_is_read, check_no_position_sees_a_later_token
from torch import Tensor, nn

from qkv.generation import (
    Beam,
    ForcedPrefix,
    Greedy,
    MinLength,
    NoRepeatNgram,
    Sampling,
    Strategy,
    generate,
    stream,
)
from qkv.models.recurrent import RecurrentConfig, RecurrentModel
from qkv.models.weights import get_weights, set_weights

PAD, BEGIN, END = 0, 2, 3
VOCABULARY = 17
LENGTHS = torch.tensor([7, 2, 5, 1])
LIMITS = [9, 6, 12, 3]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
KINDS = ("lstm", "gru")


def make_model(*vocabularies: int, **options) -> RecurrentModel:
    torch.manual_seed(0)
    config = RecurrentConfig(**{"d_model": 12, "n_layers": 2, "dropout": 0.0} | options)
    model = RecurrentModel(config, *vocabularies or (VOCABULARY,)).eval()
    for parameter in model.parameters():  # large weights: differences would show
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.fixture(
    params=[
        {"kind": kind, "attention": attention, "n_layers": n_layers}
        for kind, attention, n_layers in itertools.product(KINDS, (True, False), (1, 2))
    ]
    + [{"n_layers": 3, "dropout": 0.5, "tie_embeddings": False}],
    ids=str,
)
def model(request: pytest.FixtureRequest) -> RecurrentModel:
    return make_model(**request.param)


@pytest.fixture
def source() -> Tensor:
    return torch.randint(4, VOCABULARY, (4, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target() -> Tensor:
    return torch.randint(4, VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(2))


# Against PyTorch's layers and the papers' equations.


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_without_attention_it_is_two_stacks_of_pytorch(kind: str, n_layers: int, source: Tensor, target: Tensor):
    model = make_model(VOCABULARY, 19, kind=kind, n_layers=n_layers, attention=False, tie_embeddings=False)
    weights = get_weights(model)

    def part(module: nn.Module, name: str) -> nn.Module:
        module.load_state_dict({key.removeprefix(name): w for key, w in weights.items() if key.startswith(name)})
        return module

    make = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
    encoder, decoder = (part(make(12, 12, n_layers), f"{side}.") for side in ("encoder", "decoder"))
    read = part(nn.Embedding(VOCABULARY, 12), "source_embedding.")
    written = part(nn.Embedding(19, 12), "target_embedding.")
    output = nn.Linear(12, 19)
    output.load_state_dict({"weight": weights["output.weight"], "bias": weights["output_bias"]})
    logits = model(source, LENGTHS, target)
    for row, length in enumerate(LENGTHS.tolist()):  # one by one, so without padding, and backwards
        _, last = encoder(read(source[row, :length].flip(0)))
        outputs, _ = decoder(written(target[row]), last)
        torch.testing.assert_close(logits[row], output(outputs), **CLOSE)


def step_of(kind: str, weights: dict[str, Tensor], name: str, x: Tensor, states: tuple[Tensor, ...]):
    """One step of one layer, gate by gate: the equations in the documentation of `nn.LSTM` and `nn.GRU`."""
    [w, b] = [weights[f"{name.format(part)}"] for part in ("weight_ih", "bias_ih")]
    [u, c] = [weights[f"{name.format(part)}"] for part in ("weight_hh", "bias_hh")]
    inputs, past = (w @ x + b).split(len(states[0])), (u @ states[0] + c).split(len(states[0]))
    if kind == "gru":
        reset, update = (torch.sigmoid(inputs[i] + past[i]) for i in (0, 1))
        new = torch.tanh(inputs[2] + reset * past[2])
        return ((1 - update) * new + update * states[0],)
    enter, forget, new, out = (inputs[i] + past[i] for i in range(4))
    cell = torch.sigmoid(forget) * states[1] + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_with_attention_it_is_the_equations_of_the_paper(kind: str, n_layers: int, source: Tensor, target: Tensor):
    """One sentence, one vector at a time: Bahdanau et al. 2015, section 3 and appendix A.2."""
    model = make_model(kind=kind, n_layers=n_layers)
    w = get_weights(model)
    expected = model(source, LENGTHS, target)[0]
    embedding, d, kept = w["target_embedding.weight"], 12, {"lstm": 2, "gru": 1}[kind]

    annotations = [embedding[token] for token in source[0]]
    for layer in range(n_layers):
        directions = []
        for suffix, order in (("", 1), ("_reverse", -1)):
            states, hidden = (torch.zeros(d),) * kept, []
            for x in annotations[::order]:
                states = step_of(kind, w, f"encoder.{{}}_l{layer}{suffix}", x, states)
                hidden.append(states[0])
            directions.append(hidden[::order])
        annotations = [torch.cat(both) for both in zip(*directions, strict=True)]  # h_j, equation 7

    begin = torch.tanh(w["decoder.bridge.weight"] @ annotations[0][d:] + w["decoder.bridge.bias"])  # A.2.2
    begin = begin.view(kept, n_layers, d)
    lowest, upper = tuple(begin[:, 0]), tuple(begin[:, -1])
    for position, token in enumerate(target[0]):
        energies = [
            w["decoder.attention.score.weight"][0]
            @ torch.tanh(
                w["decoder.attention.query.weight"] @ lowest[0]
                + w["decoder.attention.key.weight"] @ annotation
                + w["decoder.attention.key.bias"]
            )
            for annotation in annotations
        ]  # e_ij, A.1.2
        exponentials = [math.exp(energy) for energy in energies]
        alphas = [value / sum(exponentials) for value in exponentials]  # equation 6
        context = sum(alpha * annotation for alpha, annotation in zip(alphas, annotations, strict=True))  # equation 5
        y = embedding[token]
        lowest = step_of(kind, w, "decoder.lowest.{}_l0", torch.cat([y, context]), lowest)
        top = lowest[0]
        if n_layers == 2:
            upper = step_of(kind, w, "decoder.upper.{}_l0", torch.cat([top, context]), upper)
            top = upper[0]
        wide = w["decoder.readout.weight"] @ torch.cat([top, y, context]) + w["decoder.readout.bias"]
        narrow = torch.stack([wide[2 * i : 2 * i + 2].max() for i in range(d)])  # t_i, A.2.2
        torch.testing.assert_close(expected[position], embedding @ narrow + w["output_bias"], **CLOSE)


# Whatever the weights.


@pytest.mark.parametrize("chunks", [[1] * 9, [3, 2, 4], [9], [1, 8]], ids=str)
@torch.no_grad()
def test_decoding_step_by_step_equals_decoding_at_once(
    model: RecurrentModel, source: Tensor, target: Tensor, chunks: list[int]
):
    expected = model(source, LENGTHS, target)
    state = model.start(source, LENGTHS, 9)
    end = 0
    for chunk in target.split(chunks, dim=1):
        end += chunk.shape[1]
        torch.testing.assert_close(model.decode(chunk, state), expected[:, end - 1], **CLOSE)


@torch.no_grad()
def test_reordered_rows_go_on_from_their_own_past(model: RecurrentModel, source: Tensor, target: Tensor):
    state = model.start(source, LENGTHS, 9)
    state.reorder(torch.tensor([3, 1, 2, 0]))  # before the first token too
    state.reorder(torch.tensor([3, 1, 2, 0]))
    model.decode(target[:, :4], state)
    past, sources = target[:, :4], torch.arange(4)
    # Permuted, repeated, left out; within a sentence; and again.
    for step, rows in enumerate(([2, 0, 0, 1, 3, 3], [0, 2, 2, 3, 5, 4], [4, 1], [0, 0, 1])):
        state.reorder(torch.tensor(rows))
        new = torch.randint(4, VOCABULARY, (len(rows), 1 + step % 2))
        past, sources = torch.cat([past[rows], new], dim=1), sources[rows]
        expected = model(source[sources], LENGTHS[sources], past)[:, -1]
        torch.testing.assert_close(model.decode(new, state), expected, **CLOSE)


@torch.no_grad()
def test_neither_batch_nor_padding_changes_the_logits(model: RecurrentModel, source: Tensor, target: Tensor):
    together = model(source, LENGTHS, target)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(source[row : row + 1, :length], LENGTHS[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)
    hidden = torch.arange(7) >= LENGTHS[:, None]
    assert torch.equal(model(source.masked_fill(hidden, 5), LENGTHS, target), together)
    wider = F.pad(source, (0, 5), value=6)
    torch.testing.assert_close(model(wider, LENGTHS, target), together, atol=1e-6, rtol=1e-5)
    padded = F.pad(target[:, :4], (0, 5), value=PAD)
    torch.testing.assert_close(model(source, LENGTHS, padded)[:, :4], together[:, :4], atol=1e-6, rtol=1e-5)


def test_no_position_sees_a_later_token(model: RecurrentModel, source: Tensor, target: Tensor):
    check_no_position_sees_a_later_token(model, source, LENGTHS, target, VOCABULARY)


def test_every_source_token_is_read(model: RecurrentModel, source: Tensor, target: Tensor):
    check_every_source_token_is_read(model, source, LENGTHS, target, VOCABULARY)


def test_gradients_reach_every_parameter(model: RecurrentModel, source: Tensor, target: Tensor):
    model.train()(source, LENGTHS, target).log_softmax(dim=-1)[..., 4].sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_dropout_is_of_training_only(model: RecurrentModel, source: Tensor, target: Tensor):
    resting = model(source, LENGTHS, target)
    model.train()
    first, second = model(source, LENGTHS, target), model(source, LENGTHS, target)
    if model.config.dropout:
        assert not torch.allclose(first, second)
    else:
        torch.testing.assert_close(first, resting, **CLOSE)


@torch.no_grad()
def test_the_recorder_sees_the_attention_and_changes_nothing(model: RecurrentModel, source: Tensor, target: Tensor):
    seen: list[tuple[tuple[str, int, str], Tensor]] = []

    def record(side: str, layer: int, kind: str, weights: Tensor) -> None:
        seen.append(((side, layer, kind), weights))

    assert torch.equal(model(source, LENGTHS, target, record), model(source, LENGTHS, target))
    if not model.config.attention:
        assert not seen
        return
    [(name, weights)] = seen
    assert name == ("decoder", 0, "cross")
    assert weights.shape == (4, 1, 9, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, 1, 9))
    for row, length in enumerate(LENGTHS.tolist()):
        assert weights[row, :, :, length:].eq(0).all()
        assert weights[row, :, :, :length].gt(0).all()


@torch.no_grad()
def test_half_precision_changes_little(model: RecurrentModel, source: Tensor, target: Tensor):
    exact = model(source, LENGTHS, target)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(source, LENGTHS, target)
        state = model.start(source, LENGTHS, 9)
        for token in target.split(1, dim=1):
            last = model.decode(token, state)
    torch.testing.assert_close(rough.float(), exact, atol=0.3, rtol=0.1)
    torch.testing.assert_close(last.float(), exact[:, -1], atol=0.3, rtol=0.1)


# Through the one loop of generation.


def run(model: RecurrentModel, source: Tensor, strategy: Strategy, rows=slice(None), filters=(), prompt=(BEGIN,)):
    lengths, limits = LENGTHS[rows], LIMITS[rows]
    with torch.inference_mode():
        state = model.start(source[rows, : lengths.max()], lengths, max(limits) + len(prompt))
    prompts = torch.tensor([prompt] * len(limits))
    return generate(model.decode, state, prompts, strategy, end_id=END, max_length=limits, filters=filters)


@torch.no_grad()
def rescore(model: RecurrentModel, source: Tensor, row: int, tokens: list[int], prompt=(BEGIN,)) -> float:
    length = LENGTHS[row : row + 1]
    forced = torch.tensor([[*prompt, *tokens[:-1]]])
    log_probs = model(source[row : row + 1, : int(length)], length, forced).log_softmax(dim=-1)[0, len(prompt) - 1 :]
    return log_probs.gather(1, torch.tensor(tokens)[:, None]).sum().item()


@pytest.mark.parametrize(
    "strategy", [Greedy(), Sampling(n=2, temperature=2.0, seed=3), Beam(size=4, n_best=4)], ids=str
)
@pytest.mark.parametrize("prompt", [(BEGIN,), (BEGIN, 9, 5)], ids=str)
def test_generation_does_not_depend_on_the_batch_and_rescores_to_its_scores(
    model: RecurrentModel, source: Tensor, strategy: Strategy, prompt: tuple[int, ...]
):
    together = run(model, source, strategy, prompt=prompt)
    for row in range(4):
        (alone,) = run(model, source, strategy, slice(row, row + 1), prompt=prompt)
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
        for one, other in zip(alone, together[row], strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            rescored = rescore(model, source, row, [*one.tokens, *[END] * one.finished], prompt)
            assert one.log_probability == pytest.approx(rescored, abs=1e-4)


def test_a_beam_of_one_is_greedy_search_and_streams_the_same(model: RecurrentModel, source: Tensor):
    greedy, beam = run(model, source, Greedy()), run(model, source, Beam(size=1))
    assert [h.tokens for (h,) in beam] == [h.tokens for (h,) in greedy]
    with torch.inference_mode():
        state = model.start(source, LENGTHS, 13)
    streamed: list[list[int]] = [[] for _ in range(4)]
    for step in stream(model.decode, state, torch.full((4, 1), BEGIN), Greedy(), end_id=END, max_length=LIMITS):
        for row, token in step:
            streamed[row].append(token)
    assert [tuple(tokens) for tokens in streamed] == [h.tokens for (h,) in greedy]


@pytest.mark.parametrize("attention", [True, False])
def test_the_widest_beam_finds_the_best_sequence_there_is(attention: bool, source: Tensor):
    model = make_model(6, attention=attention)
    source = source % 6
    with torch.inference_mode():
        state = model.start(source[:1], LENGTHS[:1], 4)
    strategy = Beam(size=6**3, n_best=5, length_penalty=0.0)
    [found] = generate(model.decode, state, torch.tensor([[BEGIN]]), strategy, end_id=END, max_length=3)
    others = [token for token in range(6) if token != END]
    finished = [[*begin, END] for n in range(3) for begin in itertools.product(others, repeat=n)]
    scores = sorted((rescore(model, source, 0, tokens) for tokens in finished), reverse=True)
    assert [h.score for h in found] == pytest.approx(scores[:5], abs=1e-4)


@pytest.mark.parametrize("strategy", [Greedy(), Sampling(n=2), Beam(size=3, n_best=2)], ids=str)
def test_filters_hold(model: RecurrentModel, source: Tensor, strategy: Strategy):
    prefixes = [[8, 9], [], [10], [4]]
    filters = (ForcedPrefix(prefixes), NoRepeatNgram(2), MinLength(2))
    for row, hypotheses in enumerate(run(model, source, strategy, filters=filters)):
        for h in hypotheses:
            assert list(h.tokens[: len(prefixes[row])]) == prefixes[row]
            assert len(h.tokens) >= 2
            pairs = list(itertools.pairwise(h.tokens))
            assert len(set(pairs)) == len(pairs)
            rescored = rescore(model, source, row, [*h.tokens, *[END] * h.finished])
            assert h.log_probability == pytest.approx(rescored, abs=1e-4)


# Weights and sizes.


def test_embeddings_are_shared_where_asked():
    config = RecurrentConfig(d_model=8)
    tied = RecurrentModel(config, 11)
    assert tied.source_embedding.weight is tied.target_embedding.weight is tied.output.weight
    separate = RecurrentModel(config, 11, 13)
    assert separate.source_embedding.weight.shape == (11, 8)
    assert separate.target_embedding.weight is separate.output.weight
    assert separate.output.weight.shape == (13, 8)
    alone = RecurrentModel(RecurrentConfig(d_model=8, tie_embeddings=False), 11)
    assert len({id(part.weight) for part in (alone.source_embedding, alone.target_embedding, alone.output)}) == 3


@torch.no_grad()
def test_weights_go_out_and_come_back(model: RecurrentModel, source: Tensor, target: Tensor):
    weights = {name: weight.clone() for name, weight in get_weights(model).items()}
    assert set(weights) <= set(model.state_dict())
    assert sum(w.numel() for w in weights.values()) == sum(p.numel() for p in model.parameters())
    other = RecurrentModel(model.config, VOCABULARY).eval()
    assert not torch.allclose(other(source, LENGTHS, target), model(source, LENGTHS, target), atol=0.1)
    set_weights(other, weights)
    assert torch.equal(other(source, LENGTHS, target), model(source, LENGTHS, target))


@pytest.mark.parametrize("attention", [True, False])
def test_weights_begin_as_documented(attention: bool):
    for kind, gates in (("lstm", 4), ("gru", 3)):
        model = RecurrentModel(RecurrentConfig(kind=kind, d_model=8, n_layers=2, attention=attention), 11)
        for name, parameter in model.named_parameters():
            parts = parameter.detach().chunk(gates)
            if "weight_hh" in name:
                assert all(torch.allclose(part @ part.T, torch.eye(8), atol=1e-5) for part in parts)
            elif "weight_ih" in name:
                bound = math.sqrt(6 / (8 + parameter.shape[1]))
                assert 0.8 * bound < parameter.abs().max() <= bound
            elif "bias" in name:
                is_open = [kind == "lstm" and "bias_ih" in name and gate == 1 for gate in range(gates)]
                assert all(part.eq(float(one)).all() for part, one in zip(parts, is_open, strict=False)), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 0}, "d_model must be at least 1, not 0"),
        ({"n_layers": 0}, "n_layers must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, not 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1, not -0.1"),
    ],
    ids=str,
)
def test_sizes_that_mean_nothing_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match="must be") as error:
        RecurrentConfig(**options)
    assert str(error.value) == message


def test_an_unknown_kind_is_refused_with_those_there_are():
    config = RecurrentConfig()
    object.__setattr__(config, "kind", "rnn")  # past the type checks of the tests, which users do not have
    with pytest.raises(ValueError, match="kind must be one of lstm, gru, not 'rnn'"):
        config.__post_init__()


def test_there_is_no_longest_sequence():
    assert RecurrentConfig().longest is None


# And it learns.


@pytest.mark.parametrize(("attention", "steps"), [(True, 150), (False, 350)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_to_reverse(kind: str, attention: bool, steps: int):
    """Sequences of 1 to 4 of 8 tokens, reversed and ended: more than 9 in 10 of 200 new ones, greedily decoded."""
    torch.manual_seed(0)
    model = RecurrentModel(RecurrentConfig(kind=kind, d_model=48, n_layers=1, attention=attention, dropout=0.0), 12)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        source, lengths, expected = reversal(64)
        logits = model(source, lengths, F.pad(expected[:, :-1], (1, 0), value=BEGIN))
        loss = F.cross_entropy(logits.flatten(0, 1), expected.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    source, lengths, expected = reversal(200)
    with torch.inference_mode():
        state = model.start(source, lengths, 8)
    found = generate(model.decode, state, torch.full((200, 1), BEGIN), Greedy(), end_id=END, max_length=8)
    wanted = [tuple(row[:n].tolist()) for row, n in zip(expected, lengths.tolist(), strict=True)]
    right = sum(h.tokens == tokens for (h,), tokens in zip(found, wanted, strict=True))
    assert right / 200 > 0.9


def reversal(n: int) -> tuple[Tensor, Tensor, Tensor]:
    lengths = torch.randint(1, 5, (n,))
    source = torch.randint(4, 12, (n, 4)).masked_fill(torch.arange(4) >= lengths[:, None], PAD)
    expected = torch.full((n, 5), PAD)
    for row, length in enumerate(lengths.tolist()):
        expected[row, :length], expected[row, length] = source[row, :length].flip(0), END
    return source, lengths, expected
