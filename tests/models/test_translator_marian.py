"""The translator model and beam search against MarianMTModel and its `generate`, with tiny random weights."""

import pytest
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel

from qkv.generation import Beam, Greedy, generate
from qkv.models.translator import TranslatorConfig, TranslatorModel

END, PAD, BEGIN = 0, 1, 2
WIDTH = 16
SEPARATE = 23  # target tokens where the vocabularies are separate
SOURCE = torch.tensor([[5, 7, 3, 9, 11, 4], [8, 3, 6, PAD, PAD, PAD], [10, 12, 5, 5, PAD, PAD]])
LENGTHS = torch.tensor([6, 3, 4])


def make_marian(activation: str, shared: bool) -> MarianMTModel:
    config = MarianConfig(
        vocab_size=19,
        decoder_vocab_size=19 if shared else SEPARATE,
        share_encoder_decoder_embeddings=shared,
        tie_word_embeddings=shared,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        activation_function=activation,
        scale_embedding=True,
        max_position_embeddings=64,
        eos_token_id=END,
        pad_token_id=PAD,
        decoder_start_token_id=BEGIN,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.35)
                if "layer_norm.weight" in name or "layernorm" in name:
                    parameter.add_(1.0)
        model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape, generator=generator))
    return model


# Marian puts all sines before all cosines, with the paper's frequencies. The layers do not care about the order of the
# model's dimensions, so reordering them in every weight turns one layout into the other.
INTERLEAVE = torch.arange(WIDTH).view(2, WIDTH // 2).T.flatten()


def convert(marian: MarianMTModel, config: TranslatorConfig) -> TranslatorModel:
    theirs = marian.state_dict()
    separate = None if marian.config.share_encoder_decoder_embeddings else SEPARATE
    model = TranslatorModel(config, marian.config.vocab_size, separate).eval()
    ours = {"output_bias": theirs["final_logits_bias"][0]}
    for side, embedding in (("encoder", "source_embedding"), ("decoder", "target_embedding")):
        ours[f"{embedding}.weight"] = theirs[f"model.{side}.embed_tokens.weight"][:, INTERLEAVE]
        for layer in range(config.n_layers):
            theirs_at, ours_at = f"model.{side}.layers.{layer}", f"{side}.blocks.{layer}"
            attentions = [("self_attn", "self_attention", "self_attn_layer_norm", "self_norm")]
            if side == "decoder":
                attentions.append(("encoder_attn", "cross_attention", "encoder_attn_layer_norm", "cross_norm"))
            for attention, our_attention, norm, our_norm in attentions:
                for letter, name in (("q", "query"), ("k", "key"), ("v", "value")):
                    at = f"{theirs_at}.{attention}.{letter}_proj"
                    ours[f"{ours_at}.{our_attention}.{name}.weight"] = theirs[f"{at}.weight"][:, INTERLEAVE]
                    ours[f"{ours_at}.{our_attention}.{name}.bias"] = theirs[f"{at}.bias"]
                for kind in ("weight", "bias"):
                    out = theirs[f"{theirs_at}.{attention}.out_proj.{kind}"]
                    ours[f"{ours_at}.{our_attention}.output.{kind}"] = out[INTERLEAVE]
                    ours[f"{ours_at}.{our_norm}.{kind}"] = theirs[f"{theirs_at}.{norm}.{kind}"][INTERLEAVE]
            ours[f"{ours_at}.feed_forward.inner.weight"] = theirs[f"{theirs_at}.fc1.weight"][:, INTERLEAVE]
            ours[f"{ours_at}.feed_forward.inner.bias"] = theirs[f"{theirs_at}.fc1.bias"]
            for kind in ("weight", "bias"):
                ours[f"{ours_at}.feed_forward.outer.{kind}"] = theirs[f"{theirs_at}.fc2.{kind}"][INTERLEAVE]
                norm = theirs[f"{theirs_at}.final_layer_norm.{kind}"]
                ours[f"{ours_at}.feed_forward_norm.{kind}"] = norm[INTERLEAVE]
    ours["output.weight"] = theirs["lm_head.weight"][:, INTERLEAVE]
    model.load_state_dict(ours)
    return model


@pytest.fixture(params=[("relu", True), ("swish", True), ("gelu", False)], ids=str)
def models(request: pytest.FixtureRequest) -> tuple[MarianMTModel, TranslatorModel]:
    activation, shared = request.param
    config = TranslatorConfig(
        d_model=WIDTH,
        n_heads=4,
        n_layers=2,
        d_ff=24,
        norm="post",
        activation={"swish": "silu"}.get(activation, activation),
        tie_embeddings=shared,
    )
    marian = make_marian(activation, shared)
    return marian, convert(marian, config)


def attention_mask() -> torch.Tensor:
    return (torch.arange(SOURCE.shape[1]) < LENGTHS[:, None]).long()


def test_logits(models: tuple[MarianMTModel, TranslatorModel]):
    marian, model = models
    target = torch.tensor([[BEGIN, 4, 9, 3, 14, 6, 6], [BEGIN, 5, 5, 18, 3, 7, 8], [BEGIN, 3, 3, 3, 3, 3, 3]])
    with torch.no_grad():
        theirs = marian(input_ids=SOURCE, attention_mask=attention_mask(), decoder_input_ids=target).logits
        ours = model(SOURCE, LENGTHS, target)
    assert theirs.std() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("size", [2, 4])
def test_beam_search(models: tuple[MarianMTModel, TranslatorModel], size: int, length_penalty: float):
    marian, model = models
    options = GenerationConfig(
        num_beams=size,
        num_return_sequences=size,
        early_stopping="never",  # their name for exact stopping
        length_penalty=length_penalty,
        max_new_tokens=40,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=PAD,
        decoder_start_token_id=BEGIN,
        output_scores=True,
        return_dict_in_generate=True,
    )
    with torch.no_grad():
        marian.final_logits_bias[:, END] += 4  # so that sentences end
        model.output_bias[END] += 4
        theirs = marian.generate(SOURCE, attention_mask=attention_mask(), generation_config=options)
        state = model.start(SOURCE, LENGTHS, 41)
    strategy = Beam(size=size, n_best=size, length_penalty=length_penalty)
    found = generate(model.decode, state, torch.full((3, 1), BEGIN), strategy, end_id=END, max_length=40)
    ours = [hypothesis for hypotheses in found for hypothesis in hypotheses]
    assert all(hypothesis.finished for hypothesis in ours)
    assert len({len(hypothesis.tokens) for hypothesis in ours}) > 1
    for hypothesis, tokens, score in zip(ours, theirs.sequences.tolist(), theirs.sequences_scores, strict=True):
        assert tokens[: tokens.index(END, 1)] == [BEGIN, *hypothesis.tokens]
        assert hypothesis.score == pytest.approx(score.item(), abs=1e-4)


def test_greedy_search(models: tuple[MarianMTModel, TranslatorModel]):
    marian, model = models
    options = GenerationConfig(
        max_new_tokens=12, do_sample=False, eos_token_id=END, pad_token_id=PAD, decoder_start_token_id=BEGIN
    )
    with torch.no_grad():
        theirs = marian.generate(SOURCE, attention_mask=attention_mask(), generation_config=options).tolist()
        state = model.start(SOURCE, LENGTHS, 12)
    found = generate(model.decode, state, torch.full((3, 1), BEGIN), Greedy(), end_id=END, max_length=12)
    for (hypothesis,), tokens in zip(found, theirs, strict=True):
        expected = [BEGIN, *hypothesis.tokens, *[END] * hypothesis.finished]
        assert tokens == expected + [PAD] * (len(tokens) - len(expected))
