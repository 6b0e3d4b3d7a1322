"""CLIP against Hugging Face's, and what must not matter to it."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import CLIPConfig as HuggingFaceConfig
from transformers import CLIPModel

from qkv.models.clip import CLIP, CLIPConfig, TextConfig
from qkv.models.vit import ViTConfig
from qkv.models.weights import get_weights

WIDTHS = {"n_heads": 2, "n_layers": 2, "dropout": 0.0}
CONFIG = CLIPConfig(
    image=ViTConfig(image_size=8, patch_size=4, d_model=16, d_ff=24, **WIDTHS),
    text=TextConfig(text_length=6, d_model=12, d_ff=20, **WIDTHS),
    d_shared=10,
)
VOCABULARY = 30


@pytest.fixture
def model() -> CLIP:
    torch.manual_seed(0)
    model = CLIP(CONFIG, VOCABULARY).eval()
    for parameter in model.parameters():
        if parameter.dim():
            nn.init.normal_(parameter, std=0.3)  # biases too
    return model


def inputs(n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(n, 3, 8, 8), torch.randint(4, VOCABULARY, (n, 6)), torch.tensor([6, 1, 3, 4, 2])[:n]


def reference(model: CLIP) -> CLIPModel:
    """Hugging Face's model of the same sizes with the same weights, but without its norm before the first block."""

    def sizes(config: ViTConfig | TextConfig) -> dict:
        same = {"hidden_act": "gelu", "layer_norm_eps": config.norm_eps, "attention_dropout": 0.0}
        widths = {"hidden_size": config.d_model, "intermediate_size": config.d_ff}
        return {**same, **widths, "num_attention_heads": config.n_heads, "num_hidden_layers": config.n_layers}

    text = {"vocab_size": VOCABULARY + 1, "max_position_embeddings": 7, "eos_token_id": VOCABULARY, "bos_token_id": 0}
    other = CLIPModel(
        HuggingFaceConfig(
            text_config={**sizes(CONFIG.text), **text, "pad_token_id": 1},
            vision_config={**sizes(CONFIG.image), "image_size": 8, "patch_size": 4},
            projection_dim=10,
        )
    ).eval()
    other.vision_model.pre_layrnorm = nn.Identity()
    names = {
        "vision_model.embeddings.class_embedding": "image_encoder.class_token",
        "vision_model.embeddings.position_embedding.weight": "image_encoder.positions",
        "vision_model.embeddings.patch_embedding.": "image_encoder.patches.",
        "text_model.embeddings.token_embedding.": "text_encoder.embedding.",
        "text_model.embeddings.position_embedding.weight": "text_encoder.positions.table",
        "vision_model.encoder.layers.": "image_encoder.encoder.blocks.",
        "text_model.encoder.layers.": "text_encoder.encoder.blocks.",
        "vision_model.post_layernorm.": "image_encoder.encoder.norm.",
        "text_model.final_layer_norm.": "text_encoder.encoder.norm.",
        "visual_projection.": "image_encoder.head.",
        "text_projection.": "text_encoder.head.",
        "logit_scale": "log_scale",
        "self_attn.q_proj": "self_attention.query",
        "self_attn.k_proj": "self_attention.key",
        "self_attn.v_proj": "self_attention.value",
        "self_attn.out_proj": "self_attention.output",
        "layer_norm1": "self_norm",
        "layer_norm2": "feed_forward_norm",
        "mlp.fc1": "feed_forward.inner",
        "mlp.fc2": "feed_forward.outer",
    }
    weights, unread = get_weights(model), set(get_weights(model))
    for name, parameter in other.named_parameters():
        ours = name
        for theirs, own in names.items():
            ours = ours.replace(theirs, own)
        parameter.data = weights[ours].reshape(parameter.shape)
        unread.remove(ours)
    assert unread == {"image_encoder.patches.bias"}  # which is theirs to lack
    return other


def test_it_is_hugging_faces_but_for_one_norm(model: CLIP) -> None:
    nn.init.zeros_(model.image_encoder.patches.bias)
    images, captions, lengths = inputs()
    tokens = torch.ones(5, 7, dtype=torch.int64)
    for row, caption, length in zip(tokens, captions, lengths.tolist(), strict=True):
        row[: length + 1] = torch.tensor([*caption[:length].tolist(), VOCABULARY])
    with torch.no_grad():
        found = reference(model)(input_ids=tokens, pixel_values=images)
        torch.testing.assert_close(model.embed_images(images), found.image_embeds)
        torch.testing.assert_close(model.embed_captions(captions, lengths), found.text_embeds)
        torch.testing.assert_close(model(images, captions, lengths), found.logits_per_image)


@torch.no_grad()
def test_order_and_company_change_nothing(model: CLIP) -> None:
    images, captions, lengths = inputs()
    logits = model(images, captions, lengths)
    rows, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([4, 2, 2])
    permuted = model(images[rows], captions[columns], lengths[columns])
    torch.testing.assert_close(permuted, logits[rows][:, columns])
    torch.testing.assert_close(model(images[:1], captions[:1], lengths[:1]), logits[:1, :1])


@torch.no_grad()
def test_what_stands_behind_a_caption_is_not_read(model: CLIP) -> None:
    _, captions, lengths = inputs()
    wanted = model.embed_captions(captions, lengths)
    padded = captions.masked_fill(torch.arange(6) >= lengths[:, None], 0)
    torch.testing.assert_close(model.embed_captions(padded, lengths), wanted)
    torch.testing.assert_close(model.embed_captions(captions[2:3, :3], lengths[2:3]), wanted[2:3])
    changed = captions.clone()
    changed[:, 0] = 4 + (changed[:, 0] + 1) % 26
    assert ((model.embed_captions(changed, lengths) - wanted).abs().amax(dim=1) > 1e-3).all()


@torch.no_grad()
def test_points_are_normalised_and_the_scale_has_a_bound(model: CLIP) -> None:
    images, captions, lengths = inputs()
    for points in (model.embed_images(images), model.embed_captions(captions, lengths)):
        assert points.shape == (5, 10)
        torch.testing.assert_close(points.norm(dim=1), torch.ones(5))
    new = CLIP(CONFIG, VOCABULARY)
    assert new.scale.item() == pytest.approx(1 / 0.07)
    for before, after in ((50.0, 50.0), (400.0, 100.0)):
        new.log_scale.fill_(math.log(before))
        new.clip_scale()
        assert new.scale.item() == pytest.approx(after)


def test_a_new_model_tells_pictures_apart() -> None:
    images, captions, lengths = inputs()
    model = CLIP(CONFIG, VOCABULARY).eval()
    with torch.no_grad():
        logits = model(images, captions, lengths)
    assert logits.isfinite().all() and logits.std(dim=0).min() > 0.1 and logits.std(dim=1).min() > 0.1


def test_what_does_not_fit_is_refused(model: CLIP) -> None:
    with pytest.raises(ValueError, match="a caption of 7 tokens is longer than text_length, 6"):
        model.embed_captions(torch.ones(1, 7, dtype=torch.int64), torch.tensor([2]))
    with pytest.raises(ValueError, match="text_length must be at least 1, not 0"):
        replace(CONFIG.text, text_length=0)
    with pytest.raises(ValueError, match="d_shared must be at least 1, not 0"):
        replace(CONFIG, d_shared=0)
