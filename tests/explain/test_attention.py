"""Attention as data."""

import json
import math

import numpy as np
import pytest
import torch

from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import BEGIN
from qkv.errors import QkvError
from qkv.explain.attention import AttentionRecord, informative_head, record_attention
from qkv.explain.words import Token
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.nn import MultiHeadAttention
from qkv.systems.translator.explain import record_translation

TEXT, TRANSLATION = "Two dogs doesn't ride.", "Zwei Hunde fährt 雪."


@pytest.fixture(scope="module")
def record(model: TranslatorModel, codec: Codec) -> AttentionRecord:
    return record_translation(model, codec, TEXT, TRANSLATION, "de")


def made(weights: torch.Tensor, words: str) -> AttentionRecord:
    """A record of encoder weights [layers, H, T, T] alone."""
    tokens = tuple(Token(word, special=word.startswith("<")) for word in words.split())
    return AttentionRecord(tokens, (), (), {("encoder", i + 1, "self"): layer for i, layer in enumerate(weights)})


def test_every_attention_is_recorded_under_its_name(record: AttentionRecord):
    sides = {"encoder": ["self"], "decoder": ["self", "cross"]}
    assert set(record.weights) == {(stack, layer, kind) for stack in sides for kind in sides[stack] for layer in (1, 2)}
    for (stack, _, kind), weights in record.weights.items():
        assert weights.shape == (4, *map(len, record.tokens(stack, kind)))


@pytest.mark.parametrize("merged", [False, True])
def test_rows_sum_to_one(record: AttentionRecord, merged: bool):
    for weights in (record.words() if merged else record).weights.values():
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


def test_the_decoder_sees_nothing_later(record: AttentionRecord):
    for layer in (1, 2):
        assert record.weights["decoder", layer, "self"].triu(diagonal=1).count_nonzero() == 0


def test_tokens_line_up(record: AttentionRecord):
    assert [token.text for token in record.source if token.special] == ["<2de>", "<end>"]
    assert record.target_input[1:] == record.target_output[:-1]
    words = record.words()
    assert [token.text for token in words.source] == ["<2de>", "Two", "dogs", "doesn't", "ride", ".", "<end>"]
    assert [token.text for token in words.target_output] == ["Zwei", "Hunde", "fährt", "雪", ".", "<end>"]
    assert [token.text for token in words.target_input] == ["<begin>", "Zwei", "Hunde", "fährt", "雪", "."]


def test_words_sum_over_keys_and_average_over_queries(record: AttentionRecord):
    words = record.words()
    spans = [(i, i) for i in (0,)]  # the tag
    starts = [i for i, token in enumerate(record.source) if token.text.startswith("▁")]
    spans = [(starts[0], starts[1]), (starts[1], starts[2])]  # Two, dogs
    pieces = record.weights["encoder", 2, "self"].numpy()
    for row, (q0, q1) in enumerate(spans, start=1):
        for column, (k0, k1) in enumerate(spans, start=1):
            expected = pieces[:, q0:q1, k0:k1].sum(axis=2).mean(axis=1)
            np.testing.assert_allclose(words.weights["encoder", 2, "self"][:, row, column], expected, rtol=1e-5)


def test_recording_leaves_logits_and_mode_alone(model: TranslatorModel):
    source, target = torch.tensor([[4, 9, 30, 3]]), torch.tensor([[BEGIN, 40, 41]])
    plain = model(source, torch.tensor([4]), target)
    recorded = model(source, torch.tensor([4]), target, recorder=lambda *_: None)
    torch.testing.assert_close(recorded, plain)
    model.train()
    first, second = (record_attention(model, [4, 9, 3], [BEGIN, 40]) for _ in range(2))
    assert model.training
    model.eval()
    assert all(torch.equal(first[name], second[name]) for name in first)  # no dropout


def test_padding_gets_no_weight_and_changes_none(model: TranslatorModel):
    weights = {}
    model(
        torch.tensor([[4, 9, 3, 0, 0], [4, 9, 30, 31, 3]]),
        torch.tensor([3, 5]),
        torch.tensor([[BEGIN, 40, 0], [BEGIN, 41, 42]]),
        recorder=lambda stack, layer, kind, w: weights.update({(stack, layer + 1, kind): w.detach()}),
    )
    alone = record_attention(model, [4, 9, 3], [BEGIN, 40])
    for name, batch in weights.items():
        if name[2] == "cross" or name[0] == "encoder":
            assert batch[0, :, :, 3:].count_nonzero() == 0
        _, rows, columns = alone[name].shape
        torch.testing.assert_close(batch[0, :, :rows, :columns], alone[name])


def test_weights_equal_those_of_torch():
    torch.manual_seed(1)
    ours, theirs = MultiHeadAttention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    x, context, recorded = torch.randn(2, 3, 16), torch.randn(2, 5, 16), []
    ours(x, context, recorder=recorded.append)
    _, expected = theirs(x, context, context, average_attn_weights=False)
    torch.testing.assert_close(recorded[0], expected)


def test_first_encoder_layer_equals_numpy(model: TranslatorModel):
    ids = [4, 9, 30, 31, 3]
    x = model.source_embedding.weight[ids].detach().numpy() * math.sqrt(32) + model.positions(5).numpy()
    attention = model.encoder.blocks[0].self_attention
    query, key = (
        (x @ part.weight.detach().numpy().T + part.bias.detach().numpy()).reshape(5, 4, 8).transpose(1, 0, 2)
        for part in (attention.query, attention.key)
    )
    scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(8))
    weights = record_attention(model, ids, [BEGIN])["encoder", 1, "self"]
    np.testing.assert_allclose(weights, scores / scores.sum(axis=-1, keepdims=True), rtol=1e-4)


def test_map_averages_what_is_not_chosen(record: AttentionRecord):
    layers = [record.weights["decoder", layer, "cross"] for layer in (1, 2)]
    torch.testing.assert_close(record.map("decoder", "cross").weights, torch.stack(layers).mean(dim=(0, 1)))
    torch.testing.assert_close(record.map("decoder", "cross", 2).weights, layers[1].mean(dim=0))
    assert torch.equal(record.map("decoder", "cross", 2, 3).weights, layers[1][2])


def test_top_is_the_strongest_without_special_tokens():
    weights = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.9, 0.0, 0.1, 0.0], [0.4, 0.3, 0.1, 0.2], [1.0, 0, 0, 0]])
    links = made(weights[None, None], "<2de> the dog it").top("dog", 2)
    assert [(link.key.text, round(link.weight, 3)) for link in links] == [("the", 0.3), ("it", 0.2)]
    assert made(weights[None, None], "<2de> the dog it").top(2, 2) == links


def test_strongest_links_are_between_words_that_differ():
    weights = torch.tensor([[0.6, 0.1, 0.2, 0.1], [0.0, 0.5, 0.2, 0.3], [0.4, 0.4, 0.1, 0.1], [0.2, 0.3, 0.5, 0.0]])
    links = made(weights[None, None], "<2de> dog it .").map("encoder", "self").strongest(3)
    assert [(link.query.text, link.key.text) for link in links] == [("it", "dog"), ("dog", "it")]


def test_informative_head_ignores_neighbours_and_columns_that_all_look_at():
    words = "<2de> the dog ate because it . <end>"
    n = len(words.split())
    same = torch.eye(n)
    previous = torch.eye(n).roll(-1, dims=1)
    sink = torch.zeros(n, n).index_fill(1, torch.tensor([2]), 1.0)
    full_stop = torch.zeros(n, n).index_fill(1, torch.tensor([6]), 1.0)
    meaning = same.clone()
    meaning[5] = 0
    meaning[5, 2] = 1  # it -> dog
    record = made(torch.stack([torch.stack([same, previous, sink]), torch.stack([full_stop, meaning, same])]), words)
    assert informative_head(record) == (2, 2)
    assert informative_head(record, layer=1)[0] == 1
    assert informative_head(record, head=3)[1] == 3
    assert informative_head(record, layer=1, head=2) == (1, 2)


def test_json_round_trips(record: AttentionRecord):
    data = json.loads(json.dumps(record.to_json()))
    assert data["source"] == [token.text for token in record.source]
    cross = next(a for a in data["attention"] if (a["stack"], a["layer"], a["kind"]) == ("decoder", 2, "cross"))
    torch.testing.assert_close(torch.tensor(cross["weights"]), record.weights["decoder", 2, "cross"], atol=1e-6, rtol=0)


def test_an_empty_translation_is_its_end_alone(model: TranslatorModel, codec: Codec):
    record = record_translation(model, codec, TEXT, "", "de").words()
    assert [token.text for token in record.target_output] == ["<end>"]


def test_errors_are_one_line(model: TranslatorModel, codec: Codec, record: AttentionRecord):
    learned = TranslatorModel(
        TranslatorConfig(d_model=8, n_heads=1, n_layers=1, positions="learned", max_length=4), 300
    )
    for call, says in (
        (lambda: record_translation(model, codec, TEXT, "x", "fr"), "'fr'"),
        (lambda: record_translation(learned, codec, TEXT, "x", "de"), "the model has 4 positions"),
        (lambda: record.map("decoder", "cross", 3), "no decoder layer 3: choose from 1 to 2"),
        (lambda: record.map("encoder", "self", 1, 0), "no attention head 0: choose from 1 to 4"),
        (lambda: record.map("encoder", "cross"), "no cross-attention in the encoder"),
        (lambda: informative_head(record, layer=0), "no encoder layer 0: choose from 1 to 2"),
        (lambda: informative_head(record, head=5), "no attention head 5: choose from 1 to 4"),
        (lambda: record.words().top("cat"), "no word 'cat'"),
        (lambda: record.top(99), "no word 99"),
    ):
        with pytest.raises(QkvError, match=says) as error:
            call()
        assert "\n" not in str(error.value)
