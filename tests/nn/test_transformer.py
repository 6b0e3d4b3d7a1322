"""Blocks and stacks against torch.nn.Transformer's layers, and what must hold for any stack."""

import pytest
import torch
from torch import Tensor, nn

from qkv.nn import Block, Transformer, TransformerConfig, causal_mask, padding_mask

B, T, S, D, H, FF, LAYERS = 3, 5, 7, 12, 3, 10, 3
LENGTHS = torch.tensor([7, 2, 4])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def make_config(**options) -> TransformerConfig:
    sizes = {"d_model": D, "n_heads": H, "n_layers": LAYERS, "d_ff": FF, "dropout": 0.0}
    return TransformerConfig(**sizes | options)


def randomise(module: nn.Module) -> None:
    """Large random weights, norms included, so that nothing is close to an identity."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)


def copy_attention(ours: nn.Module, theirs: nn.MultiheadAttention) -> None:
    projections = ours.query, ours.key, ours.value
    theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
    theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


@torch.no_grad()
def copy_block(ours: Block, theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) -> None:
    copy_attention(ours.self_attention, theirs.self_attn)
    norms = [ours.self_norm, ours.feed_forward_norm]
    if isinstance(theirs, nn.TransformerDecoderLayer):
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        norms.insert(1, ours.cross_norm)
    for i, norm in enumerate(norms, start=1):
        getattr(theirs, f"norm{i}").load_state_dict(norm.state_dict())
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())


def layer_options(config: TransformerConfig) -> dict:
    return {
        "d_model": D,
        "nhead": H,
        "dim_feedforward": FF,
        "dropout": 0.0,
        "activation": config.activation,
        "batch_first": True,
        "norm_first": config.norm == "pre",
    }


@pytest.fixture(params=[(norm, activation) for norm in ("pre", "post") for activation in ("relu", "gelu")], ids=str)
def config(request: pytest.FixtureRequest) -> TransformerConfig:
    return make_config(norm=request.param[0], activation=request.param[1])


def test_a_block_is_an_encoder_layer(config: TransformerConfig):
    ours, theirs = Block(config), nn.TransformerEncoderLayer(**layer_options(config))
    randomise(ours)
    copy_block(ours, theirs)
    x = torch.randn(B, S, D)
    expected = theirs(x, src_key_padding_mask=torch.arange(S) >= LENGTHS[:, None])
    output = ours(x, mask=padding_mask(LENGTHS, S))
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(output[row, :length], expected[row, :length], atol=1e-5, rtol=1e-5)


def test_a_block_with_a_context_is_a_decoder_layer(config: TransformerConfig):
    ours, theirs = Block(config, cross=True), nn.TransformerDecoderLayer(**layer_options(config))
    randomise(ours)
    copy_block(ours, theirs)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    hidden = torch.arange(S) >= LENGTHS[:, None]
    expected = theirs(x, context, tgt_mask=~causal_mask(T, T), memory_key_padding_mask=hidden)
    output = ours(x, context, is_causal=True, context_mask=padding_mask(LENGTHS, S))
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


def test_two_stacks_are_pytorchs_encoder_and_decoder(config: TransformerConfig):
    ours = Transformer(config), Transformer(config, cross=True)
    # PyTorch's own nn.Transformer puts a last norm behind post-norm layers too; the paper has none.
    norms = [nn.LayerNorm(D) if config.norm == "pre" else None for _ in ours]
    encoder_layer = nn.TransformerEncoderLayer(**layer_options(config))
    decoder_layer = nn.TransformerDecoderLayer(**layer_options(config))
    encoder = nn.TransformerEncoder(encoder_layer, LAYERS, norms[0], enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(decoder_layer, LAYERS, norms[1])
    for stack, theirs in zip(ours, (encoder, decoder), strict=True):
        randomise(stack)
        for block, layer in zip(stack.blocks, theirs.layers, strict=True):
            copy_block(block, layer)
        if theirs.norm is not None:
            theirs.norm.load_state_dict(stack.norm.state_dict())
    x, source = torch.randn(B, T, D), torch.randn(B, S, D)
    hidden, mask = torch.arange(S) >= LENGTHS[:, None], padding_mask(LENGTHS, S)
    memory = encoder(source, src_key_padding_mask=hidden)
    expected = decoder(x, memory, ~causal_mask(T, T), memory_key_padding_mask=hidden)
    output = ours[1](x, ours[0](source, mask=mask), context_mask=mask, is_causal=True)
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)


def test_silu_inside_the_feed_forward_layer():
    block = Block(make_config(activation="silu"))
    x = torch.randn(B, T, D)
    inner = block.feed_forward.inner(x)
    torch.testing.assert_close(block.feed_forward(x), block.feed_forward.outer(inner * inner.sigmoid()))


def run(model: Transformer, x: Tensor, context: Tensor, **options) -> Tensor:
    return model(x, context, context_mask=padding_mask(LENGTHS, S), **options)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_no_position_sees_a_later_one(norm: str):
    model = Transformer(make_config(norm=norm), cross=True)
    randomise(model)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    before = run(model, x, context, is_causal=True)
    for position in range(1, T):
        changed = x.clone()
        changed[:, position] += 1
        after = run(model, changed, context, is_causal=True)
        assert torch.equal(after[:, :position], before[:, :position])
        assert not torch.equal(after[:, position:], before[:, position:])
    x.requires_grad_()
    run(model, x, context, is_causal=True)[:, 2].sum().backward()
    assert x.grad is not None
    assert x.grad[:, 3:].eq(0).all()
    assert x.grad[:, :3].ne(0).any(dim=-1).all()


def test_what_stands_in_the_padding_does_not_matter():
    encoder = Transformer(make_config())
    randomise(encoder)
    x = torch.randn(B, S, D)
    output = encoder(x, mask=padding_mask(LENGTHS, S))
    x[torch.arange(S) >= LENGTHS[:, None]] = 1e3
    changed = encoder(x, mask=padding_mask(LENGTHS, S))
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(changed[row, :length], output[row, :length])
        alone = encoder(x[row : row + 1, :length])
        torch.testing.assert_close(alone[0], output[row, :length], atol=1e-5, rtol=1e-5)


def test_without_positions_an_encoder_does_not_know_the_order():
    encoder = Transformer(make_config())
    randomise(encoder)
    x, order, position = torch.randn(B, S, D), torch.randperm(S), torch.randn(S, D)
    torch.testing.assert_close(encoder(x[:, order]), encoder(x)[:, order], atol=1e-5, rtol=1e-5)
    known = encoder(x, query_pos=position)
    assert (encoder(x[:, order], query_pos=position) - known[:, order]).abs().max() > 0.1
    moved = encoder(x[:, order], query_pos=position[order])
    torch.testing.assert_close(moved, known[:, order], atol=1e-5, rtol=1e-5)


def test_each_block_may_have_a_mask_of_its_own():
    masks = [causal_mask(T, T), None, torch.eye(T, dtype=torch.bool)]
    model = Transformer(make_config())
    randomise(model)
    x = torch.randn(B, T, D)
    expected = x
    for block, mask in zip(model.blocks, masks, strict=True):
        layer = nn.TransformerEncoderLayer(**layer_options(model.config))
        copy_block(block, layer)
        expected = layer(expected, src_mask=None if mask is None else ~mask)
    torch.testing.assert_close(model(x, mask=masks), model.norm(expected), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="shorter"):
        model(x, mask=masks[:2])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_gradients_reach_every_parameter(norm: str):
    model = Transformer(make_config(norm=norm, d_key=5, d_value=3), cross=True)
    randomise(model)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    (run(model, x, context, is_causal=True) * torch.randn(B, T, D)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias of all keys shifts every score of a query alike, so the softmax takes it out.
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 0, name


def test_the_recorder_sees_every_attention_and_changes_nothing():
    model = Transformer(make_config(), cross=True)
    randomise(model)
    x, context = torch.randn(B, T, D), torch.randn(B, S, D)
    seen: dict[tuple[int, str], Tensor] = {}

    def record(layer: int, kind: str, weights: Tensor) -> None:
        seen[layer, kind] = weights

    output = run(model, x, context, is_causal=True, recorder=record)
    torch.testing.assert_close(output, run(model, x, context, is_causal=True), atol=1e-5, rtol=1e-5)
    assert set(seen) == {(layer, kind) for layer in range(LAYERS) for kind in ("self", "cross")}
    for (_, kind), weights in seen.items():
        assert weights.shape == (B, H, T, T if kind == "self" else S)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, H, T))
        if kind == "self":
            assert weights.triu(1).eq(0).all()


def test_dropout_acts_where_it_is_asked_for():
    x = torch.randn(B, T, D)
    for name in ("dropout", "attention_dropout", "activation_dropout"):
        model = Transformer(make_config(**{name: 0.5}))
        assert not torch.equal(model(x), model(x)), name
        model.eval()
        assert torch.equal(model(x), model(x)), name
    model = Transformer(make_config())
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d_model": 0}, "d_model must be at least 1, not 0"),
        ({"n_heads": 0}, "n_heads"),
        ({"n_layers": -1}, "n_layers"),
        ({"d_ff": 0}, "d_ff"),
        ({"d_model": 10, "n_heads": 4}, r"d_model \(10\) must be a multiple of n_heads \(4\)"),
        ({"d_model": 10, "n_heads": 4, "d_key": 3}, "multiple"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, not 1.0"),
        ({"attention_dropout": -0.1}, "attention_dropout"),
        ({"activation_dropout": 2.0}, "activation_dropout"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_refused_by_name(options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        TransformerConfig(**options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("activation", "activation must be one of relu, gelu, silu, not 'tanh'"),
        ("norm", "norm must be one of pre, post, not 'tanh'"),
    ],
)
def test_an_unknown_choice_is_refused_with_those_there_are(name: str, words: str):
    config = make_config()
    object.__setattr__(config, name, "tanh")  # past the type checks of the tests, which users do not have
    with pytest.raises(ValueError, match=words):
        config.__post_init__()


def test_free_widths_lift_the_rule_on_heads():
    config = make_config(d_model=10, n_heads=4, d_key=3, d_value=2)
    assert Transformer(config)(torch.randn(B, T, 10)).shape == (B, T, 10)
