"""Where a Vision Transformer looks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from qkv.errors import QkvError
from qkv.explain.overlay import draw_patches
from qkv.explain.patches import attention_rollout, record_patches
from qkv.figures.confusion import draw_confusion
from qkv.models.vit import ViT, ViTConfig

SIZES = {"image_size": 16, "patch_size": 4, "d_model": 16, "n_heads": 2, "n_layers": 3, "d_ff": 24}


def test_rollout_by_its_definition() -> None:
    weights = torch.rand(3, 2, 5, 5).softmax(-1)
    product = np.eye(5)
    for layer in weights.numpy():
        product = (0.5 * layer.mean(0) + 0.5 * np.eye(5)) @ product
    np.testing.assert_allclose(attention_rollout(weights).numpy(), product, rtol=1e-5)
    torch.testing.assert_close(attention_rollout(weights).sum(-1), torch.ones(5))
    alone = torch.eye(5).expand(3, 2, 5, 5)
    torch.testing.assert_close(attention_rollout(alone), torch.eye(5))


@pytest.mark.parametrize("pool", ["class", "mean", "sequence"])
def test_maps_lie_over_the_patches(pool: str) -> None:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**SIZES, pool=pool, dropout=0.5), 3).train()
    found = record_patches(model, torch.randn(3, 8, 16))
    assert model.training
    assert found.rollout.shape == (2, 4)
    assert found.heads.shape == (3, 2, 2, 4)
    assert found.rollout.sum() == pytest.approx(1, abs=1e-5)
    share = found.heads.sum((-1, -2))
    torch.testing.assert_close(share, torch.ones(3, 2)) if pool != "class" else None
    assert (share <= 1 + 1e-5).all()
    assert torch.tensor(found.to_json()["heads"]).shape == (3, 2, 2, 4)


def test_a_patch_that_everything_looks_at_stands_out() -> None:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**SIZES, pool="class"), 3)
    for block in model.encoder.blocks:
        nn.init.zeros_(block.self_attention.query.weight)
        nn.init.ones_(block.self_attention.query.bias)
        nn.init.eye_(block.self_attention.key.weight)
    image = torch.zeros(3, 16, 16)
    nn.init.zeros_(model.positions)
    plain = record_patches(model, image)
    torch.testing.assert_close(plain.rollout, torch.full((4, 4), 1 / 16))
    image[:, 4:8, 8:12] = 3.0  # row 1, column 2
    difference = (record_patches(model, image).rollout - plain.rollout).abs()
    assert difference.argmax() == 1 * 4 + 2


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    model = ViT(ViTConfig(**SIZES), 3)
    found = record_patches(model, torch.randn(3, 16, 16))
    picture = Image.new("RGB", (16, 16), "red")
    draw_patches(picture, found, tmp_path / "in" / "map.png", layer=2, heading="$5: ant 50.0%")
    with Image.open(tmp_path / "in" / "map.png") as image:
        assert image.width > 4 * 200
    for layer in (0, 4):
        with pytest.raises(QkvError, match=f"there is no layer {layer}: choose from 1 to 3"):
            draw_patches(picture, found, tmp_path / "map.png", layer=layer)
    with pytest.raises(QkvError, match=r"ends in .png"):
        draw_patches(picture, found, tmp_path / "map.jpg")


@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_confusion_matrix_is_a_picture(n: int, tmp_path: Path) -> None:
    confusion = torch.randint(0, 5, (n, n))
    content = draw_confusion(confusion, [f"class ${i}" for i in range(n)])
    (tmp_path / "c.png").write_bytes(content)
    with Image.open(tmp_path / "c.png") as image:
        assert image.width > 100
