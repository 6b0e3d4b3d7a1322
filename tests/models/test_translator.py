"""What must hold for a translator model whatever its weights: cached = uncached, batch = single, no look ahead."""

import pytest
import torch
from tests.models.invariants import check_every_source_token_is_read, check_no_position_sees_a_later_token
from torch import Tensor

from qkv.generation import Beam, Greedy, Sampling, Strategy, generate
from qkv.models.translator import TranslatorConfig, TranslatorModel

BEGIN, END = 2, 3
VOCABULARY = 17
LENGTHS = torch.tensor([7, 2, 5, 1])
LIMITS = [9, 6, 12, 3]


def make_model(**options) -> TranslatorModel:
    torch.manual_seed(0)
    config = TranslatorConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, **options)
    model = TranslatorModel(config, VOCABULARY).eval()
    for parameter in model.parameters():  # large weights: differences would show
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.fixture(
    params=[
        {"norm": "post"},
        {"norm": "pre", "positions": "learned"},
        {"d_key": 3, "d_value": 5, "positions": "sinusoidal_halves", "tie_embeddings": False},
    ],
    ids=str,
)
def model(request: pytest.FixtureRequest) -> TranslatorModel:
    return make_model(**request.param)


@pytest.fixture
def source() -> Tensor:
    return torch.randint(4, VOCABULARY, (4, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target() -> Tensor:
    return torch.randint(4, VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("chunks", [[1] * 9, [3, 2, 4], [9], [1, 8]], ids=str)
@torch.no_grad()
def test_decoding_with_a_cache_equals_decoding_at_once(
    model: TranslatorModel, source: Tensor, target: Tensor, chunks: list[int]
):
    expected = model(source, LENGTHS, target)
    state = model.start(source, LENGTHS, 9)
    end = 0
    for chunk in target.split(chunks, dim=1):
        end += chunk.shape[1]
        torch.testing.assert_close(model.decode(chunk, state), expected[:, end - 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reordered_rows_go_on_from_their_own_past(model: TranslatorModel, source: Tensor, target: Tensor):
    rows = torch.tensor([2, 0, 0, 1, 3, 3])
    state = model.start(source, LENGTHS, 9)
    state.reorder(torch.tensor([3, 1, 2, 0]))  # before the first token too
    state.reorder(torch.tensor([3, 1, 2, 0]))
    model.decode(target[:, :4], state)
    state.reorder(rows)
    expected = model(source[rows], LENGTHS[rows], target[rows, :6])
    torch.testing.assert_close(model.decode(target[rows, 4:6], state), expected[:, -1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_neither_batch_nor_padding_changes_the_logits(model: TranslatorModel, source: Tensor, target: Tensor):
    together = model(source, LENGTHS, target)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(source[row : row + 1, :length], LENGTHS[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)
    garbage = source.masked_fill(torch.arange(7) >= LENGTHS[:, None], 5)
    torch.testing.assert_close(model(garbage, LENGTHS, target), together, atol=0, rtol=0)


def test_no_position_sees_a_later_token(model: TranslatorModel, source: Tensor, target: Tensor):
    check_no_position_sees_a_later_token(model, source, LENGTHS, target, VOCABULARY)


def test_every_source_token_is_read(model: TranslatorModel, source: Tensor, target: Tensor):
    check_every_source_token_is_read(model, source, LENGTHS, target, VOCABULARY)


@pytest.mark.parametrize("strategy", [Greedy(), Sampling(n=2, temperature=2.0), Beam(size=4, n_best=4)], ids=str)
@torch.no_grad()
def test_generation_does_not_depend_on_the_batch_and_rescores_to_its_scores(
    model: TranslatorModel, source: Tensor, strategy: Strategy
):
    def run(rows: slice, length: int, limits: list[int]):
        state = model.start(source[rows, :length], LENGTHS[rows], max(limits) + 1)
        prompt = torch.full((len(limits), 1), BEGIN)
        return generate(model.decode, state, prompt, strategy, end_id=END, max_length=limits)

    together = run(slice(None), 7, LIMITS)
    for row, length in enumerate(LENGTHS.tolist()):
        (alone,) = run(slice(row, row + 1), length, LIMITS[row : row + 1])
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
        for one, other in zip(alone, together[row], strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            tokens = torch.tensor([[*one.tokens, *[END] * one.finished]])
            forced = torch.cat([torch.tensor([[BEGIN]]), tokens[:, :-1]], dim=1)
            log_probs = model(source[row : row + 1, :length], LENGTHS[row : row + 1], forced).log_softmax(dim=-1)
            rescored = log_probs.gather(2, tokens[..., None]).sum().item()
            assert one.log_probability == pytest.approx(rescored, abs=1e-4)


def test_gradients_reach_every_parameter(source: Tensor, target: Tensor):
    model = make_model(tie_embeddings=False)
    logits = model(source, LENGTHS, target)
    logits.log_softmax(dim=-1)[..., 4].sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias of all keys shifts every score of a query alike, so the softmax takes it out.
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 0, name


def test_training_goes_on_after_generation_grew_the_positions(source: Tensor):
    model = make_model()
    with torch.inference_mode():
        state = model.start(source, LENGTHS, 700)
    prompt = torch.full((4, 600), BEGIN)
    generate(model.decode, state, prompt, Greedy(), end_id=END, max_length=2)
    model(source, LENGTHS, prompt).sum().backward()
    assert model.target_embedding.weight.grad is not None


def test_embeddings_are_shared_where_asked():
    config = TranslatorConfig(d_model=8, n_heads=2, n_layers=1, d_ff=8)
    tied = TranslatorModel(config, 11)
    assert tied.source_embedding.weight is tied.target_embedding.weight is tied.output.weight
    separate = TranslatorModel(config, 11, 13)
    assert separate.source_embedding.weight.shape == (11, 8)
    assert separate.target_embedding.weight is separate.output.weight
    assert separate.output.weight.shape == (13, 8)


@torch.no_grad()
def test_the_recorder_sees_every_attention_and_changes_nothing(model: TranslatorModel, source: Tensor, target: Tensor):
    seen: dict[tuple[str, int, str], Tensor] = {}

    def record(side: str, layer: int, kind: str, weights: Tensor) -> None:
        seen[side, layer, kind] = weights

    logits = model(source, LENGTHS, target, record)
    torch.testing.assert_close(logits, model(source, LENGTHS, target), atol=1e-5, rtol=1e-5)
    assert {key: tuple(weights.shape) for key, weights in seen.items()} == {
        ("encoder", 0, "self"): (4, 2, 7, 7),
        ("encoder", 1, "self"): (4, 2, 7, 7),
        ("decoder", 0, "self"): (4, 2, 9, 9),
        ("decoder", 0, "cross"): (4, 2, 9, 7),
        ("decoder", 1, "self"): (4, 2, 9, 9),
        ("decoder", 1, "cross"): (4, 2, 9, 7),
    }
    for (_, _, kind), weights in seen.items():
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        if kind == "cross":
            assert all(weights[row, :, :, length:].eq(0).all() for row, length in enumerate(LENGTHS.tolist()))
