"""Attention against torch.nn.MultiheadAttention, and the cache against attention without one."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from qkv.nn import KVCache, MultiHeadAttention, Transformer, TransformerConfig, attend, causal_mask, padding_mask

B, T, S, D, H = 3, 5, 7, 12, 3
LENGTHS = torch.tensor([7, 1, 4])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def pair() -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """Ours and PyTorch's, with the same large random weights."""
    ours, theirs = MultiHeadAttention(D, H), nn.MultiheadAttention(D, H, batch_first=True)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        projections = ours.query, ours.key, ours.value
        theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    return ours, theirs


MASKS = {
    "none": (None, None),
    "padding": (padding_mask(LENGTHS, S), (torch.arange(S) >= LENGTHS[:, None])[:, None].expand(B, T, S)),
    "any": (
        (torch.arange(T * S) % 3 > 0).view(T, S),
        (torch.arange(T * S) % 3 == 0).view(T, S)[None].expand(B, T, S),
    ),
}


@pytest.mark.parametrize("mask", MASKS)
def test_cross_attention_and_its_weights(mask: str):
    ours, theirs = pair()
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    may_attend, hidden = MASKS[mask]
    recorded: list[Tensor] = []
    hidden = hidden if hidden is None else hidden.repeat_interleave(H, dim=0)
    expected, weights = theirs(x, context, context, attn_mask=hidden, average_attn_weights=False)
    output = ours(x, context, mask=may_attend)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        ours(x, context, mask=may_attend, recorder=recorded.append), output, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(recorded[0], weights, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(recorded[0].sum(dim=-1), torch.ones(B, H, T))


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_and_its_weights(causal: bool):
    ours, theirs = pair()
    x = torch.randn(B, T, D)
    recorded: list[Tensor] = []
    hidden = ~causal_mask(T, T) if causal else None
    expected, weights = theirs(x, x, x, attn_mask=hidden, average_attn_weights=False)
    torch.testing.assert_close(ours(x, is_causal=causal), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(x, is_causal=causal, recorder=recorded.append), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(recorded[0], weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_equal_those_of_pytorch(causal: bool):
    ours, theirs = pair()
    x = torch.randn(B, T, D)
    ours(x, is_causal=causal).square().sum().backward()
    theirs(x, x, x, attn_mask=~causal_mask(T, T) if causal else None)[0].square().sum().backward()
    projections = ours.query, ours.key, ours.value
    in_proj = torch.cat([projection.weight.grad for projection in projections])
    torch.testing.assert_close(in_proj, theirs.in_proj_weight.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.output.weight.grad, theirs.out_proj.weight.grad, atol=1e-4, rtol=1e-4)


def test_key_and_value_widths_are_free():
    d_key, d_value = 5, 2
    attention = MultiHeadAttention(D, H, d_key=d_key, d_value=d_value)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    assert attention.query.weight.shape == attention.key.weight.shape == (H * d_key, D)
    assert attention.value.weight.shape == (H * d_value, D)
    heads = []
    for head in range(H):  # equation 1 and section 3.2.2, one head after another
        k, v = slice(head * d_key, (head + 1) * d_key), slice(head * d_value, (head + 1) * d_value)
        query, key, value = attention.query(x)[..., k], attention.key(context)[..., k], attention.value(context)[..., v]
        heads.append((query @ key.mT / math.sqrt(d_key)).softmax(dim=-1) @ value)
    torch.testing.assert_close(attention(x, context), attention.output(torch.cat(heads, dim=-1)), atol=1e-5, rtol=1e-5)


def test_positions_are_added_to_queries_and_keys_but_not_to_values():
    ours, theirs = pair()
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    query_pos, key_pos = torch.randn(T, D), torch.randn(B, S, D)
    expected, _ = theirs(x + query_pos, context + key_pos, context)
    torch.testing.assert_close(ours(x, context, query_pos=query_pos, key_pos=key_pos), expected, atol=1e-5, rtol=1e-5)
    expected, _ = theirs(x + query_pos, x + query_pos, x)
    torch.testing.assert_close(ours(x, query_pos=query_pos, key_pos=query_pos), expected, atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_only():
    attention = MultiHeadAttention(D, H, dropout=0.5)
    x = torch.randn(B, T, D)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


def test_masks_by_their_definition():
    mask = padding_mask(LENGTHS, S)
    assert mask.shape == (B, 1, 1, S)
    assert [[bool(mask[b, 0, 0, s]) for s in range(S)] for b in range(B)] == [
        [s < length for s in range(S)] for length in LENGTHS.tolist()
    ]
    for queries, keys in ((4, 4), (1, 6), (3, 5)):
        for q, k in itertools.product(range(queries), range(keys)):
            assert bool(causal_mask(queries, keys)[q, k]) == (k <= q + keys - queries)


def test_shapes_are_checked():
    good = torch.randn(B, H, T, 4), torch.randn(B, H, S, 4), torch.randn(B, H, S, 2)
    assert attend(*good).shape == (B, H, T, 2)
    for place in range(3):
        wrong = list(good)
        wrong[place] = torch.randn(B, H, S + 1, 3)
        with pytest.raises(TypeError):
            attend(*wrong)


def decoder(norm: str) -> Transformer:
    config = TransformerConfig(d_model=D, n_heads=H, n_layers=2, d_ff=8, d_key=3, d_value=5, dropout=0.0, norm=norm)
    model = Transformer(config, cross=True)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("chunks", [[1] * 5, [3, 2], [5], [1, 3, 1]], ids=str)
def test_chunks_through_a_cache_equal_one_causal_pass(norm: str, chunks: list[int]):
    model = decoder(norm)
    x, context, mask = torch.randn(B, 5, D), torch.randn(B, S, D), padding_mask(LENGTHS, S)
    expected = model(x, context, context_mask=mask, is_causal=True)
    cache = KVCache(2, max_length=5)
    outputs = []
    for chunk in x.split(chunks, dim=1):
        outputs.append(model(chunk, context, context_mask=mask, is_causal=True, cache=cache))
        cache.advance(chunk.shape[1])
    assert cache.length == 5
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_the_context_is_projected_once():
    model = decoder("pre")
    x, context = torch.randn(B, 2, D), torch.randn(B, S, D)
    expected = model(x, context, is_causal=True)
    cache = KVCache(2, max_length=2)
    model(x[:, :1], context, is_causal=True, cache=cache)
    cache.advance(1)
    output = model(x[:, 1:], torch.full_like(context, math.nan), is_causal=True, cache=cache)
    torch.testing.assert_close(output, expected[:, 1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 1, 0], [1], [0, 0, 2, 2, 2, 1]], ids=str)
def test_reordered_rows_keep_their_past(rows: list[int]):
    model = decoder("pre")
    x, context = torch.randn(B, 4, D), torch.randn(B, S, D)
    cache = KVCache(2, max_length=4)
    model(x[:, :2], context, is_causal=True, cache=cache)
    cache.advance(2)
    cache.reorder(torch.tensor(rows))
    outputs = []
    for step in (2, 3):
        outputs.append(model(x[rows, step : step + 1], context[rows], is_causal=True, cache=cache))
        cache.advance(1)
    expected = model(x[rows], context[rows], is_causal=True)[:, 2:]
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_an_empty_cache_can_be_reordered():
    cache = KVCache(2, max_length=4)
    cache.reorder(torch.tensor([1, 0]))
    assert cache.length == 0


def test_a_full_cache_says_so():
    model = decoder("pre")
    context = torch.randn(B, S, D)
    cache = KVCache(2, max_length=3)
    model(torch.randn(B, 3, D), context, is_causal=True, cache=cache)
    cache.advance(3)
    with pytest.raises(ValueError, match="holds 3 positions, not 4"):
        model(torch.randn(B, 1, D), context, is_causal=True, cache=cache)
