"""The fused copy of a model against the model itself."""

import pytest
import torch
from torch import nn

from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.vit import ViT, ViTConfig
from qkv.nn import Block, TransformerConfig
from qkv.runtime.fusion import fused

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch lacks oneDNN")

SIZES: dict = {"d_model": 16, "n_heads": 2, "n_layers": 2, "d_ff": 24, "image_size": 16, "patch_size": 4}


def make_vit(**options) -> ViT:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**{**SIZES, **options}), 5)
    nn.init.normal_(model.head.weight)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)  # zero at first, which would hide a lost one
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "relu"}, {"activation": "silu"}, {"norm": "post"}, {"d_key": 5, "d_value": 7}],
)
def test_same_numbers(options: dict) -> None:
    model = make_vit(**options)
    images = torch.randn(3, 3, 16, 24)
    with torch.inference_mode():
        torch.testing.assert_close(fused(model)(images), model(images))


def test_same_attention_is_recorded() -> None:
    model, images = make_vit(), torch.randn(2, 3, 16, 16)
    recorded: list[list[torch.Tensor]] = [[], []]
    with torch.inference_mode():
        for weights, each in zip(recorded, (model, fused(model)), strict=True):
            each(images, recorder=lambda layer, kind, found, weights=weights: weights.append(found))
    assert len(recorded[0]) == 2
    torch.testing.assert_close(recorded[1], recorded[0])


def test_cached_decoding_with_cross_attention() -> None:
    torch.manual_seed(0)
    config = TranslatorConfig(d_model=16, n_heads=2, n_layers=2, d_ff=24)
    model = TranslatorModel(config, 30).eval()
    source, lengths, target = torch.randint(30, (2, 6)), torch.tensor([6, 4]), torch.randint(30, (2, 5))
    quick = fused(model)
    with torch.inference_mode():
        state = quick.start(source, lengths, 5)
        steps = [quick.decode(target[:, :2], state)] + [quick.decode(target[:, t : t + 1], state) for t in (2, 3, 4)]
        torch.testing.assert_close(torch.stack(steps, dim=1), model(source, lengths, target)[:, 1:])


def test_positions_for_queries_and_keys_alone() -> None:
    torch.manual_seed(0)
    blocks = nn.ModuleList([Block(TransformerConfig(d_model=16, n_heads=2, d_ff=24), cross=True)]).eval()
    x, context = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    positions = {"query_pos": torch.randn(5, 16), "key_pos": torch.randn(3, 16)}
    with torch.inference_mode():
        expected = blocks[0](x, context, **positions)
        torch.testing.assert_close(fused(blocks)[0](x, context, **positions), expected)


def test_the_model_stays_as_it_is_and_is_not_copied() -> None:
    model = make_vit()
    before = dict(model.named_parameters())
    names = [type(module) for module in model.modules()]
    quick = fused(model)
    assert [type(module) for module in model.modules()] == names
    kept = dict(quick.named_parameters())
    assert kept, "some parameters are used as they are"
    assert all(parameter is before[name] for name, parameter in kept.items())


def test_a_model_in_training_is_left_alone() -> None:
    model = make_vit().train()
    assert fused(model) is model
