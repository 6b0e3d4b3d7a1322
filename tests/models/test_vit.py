"""The Vision Transformer by its invariants; tests/interop compares it with other libraries."""

import pytest
import torch
from torch import nn

from qkv.config import parse
from qkv.errors import QkvError
from qkv.models.vit import ViT, ViTConfig
from qkv.nn import grid_sinusoids, resample_grid, sinusoids

TINY = {"image_size": 16, "patch_size": 4, "d_model": 16, "n_heads": 2, "n_layers": 3, "d_ff": 24}


def make(n_classes: int = 5, **options) -> ViT:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**{**TINY, **options}), n_classes)
    nn.init.normal_(model.head.weight)  # zero until it is trained, which would hide everything
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pool": "mean"},
        {"pool": "sequence", "stem": (8, 12), "patch_size": 1},
        {"pool": "mean", "stem": (8, 12), "stem_depth": 2, "patch_size": 1},
        {"positions": "sinusoidal"},
        {"norm": "post", "channels": 1},
        {"d_key": 5, "d_value": 7},
    ],
)
@pytest.mark.parametrize("sides", [(16, 16), (16, 24), (32, 8)])
def test_one_row_of_logits_a_picture_of_any_size(options: dict, sides: tuple[int, int]) -> None:
    model = make(**options)
    images = torch.randn(3, model.config.channels, *sides)
    logits = model(images)
    assert logits.shape == (3, 5)
    torch.testing.assert_close(model(images[1:2]), logits[1:2])  # whatever stands beside it in the batch


def test_sides_that_patches_do_not_fill_are_refused() -> None:
    with pytest.raises(ValueError, match="sides of 16 x 18 pixels must be multiples of 4"):
        make()(torch.randn(1, 3, 16, 18))


def test_patches_see_their_pixels_alone_and_in_reading_order() -> None:
    model = make(pool="mean")
    images = torch.randn(1, 3, 16, 16)
    changed = images.clone()
    changed[0, :, 4:8, 8:12] += 1  # row 1, column 2 of the 4 x 4 grid
    difference = (model.embed(changed) - model.embed(images)).abs().sum(-1)[0]
    assert difference.nonzero().flatten().tolist() == [1 * 4 + 2]


@pytest.mark.parametrize("pool", ["class", "mean", "sequence"])
def test_positions_alone_tell_where_a_patch_lies(pool: str) -> None:
    model = make(pool=pool)
    images = torch.randn(2, 3, 16, 16)
    turned = images.flip(2).unfold(2, 4, 4).flip(-1).permute(0, 1, 2, 4, 3).reshape(images.shape)  # rows of patches
    assert not torch.allclose(model(images), model(turned), atol=1e-3)
    nn.init.zeros_(model.positions)
    torch.testing.assert_close(model(images), model(turned))


def test_sequence_pooling_is_a_weighted_mean() -> None:
    model = make(pool="sequence")
    images = torch.randn(2, 3, 16, 16)
    nn.init.zeros_(model.pool.weight)
    torch.testing.assert_close(model.features(images), model.encoder(model.embed(images)).mean(1))


def test_stochastic_depth_drops_whole_sublayers_of_late_blocks_in_training_only() -> None:
    model = make(drop_path=0.5)
    assert [block.drop_path for block in model.encoder.blocks] == [0.0, 0.25, 0.5]
    block = model.encoder.blocks[2]
    x = torch.randn(4000, 2, 16)
    with torch.no_grad():
        y, full = block.train()(x) - x, block.eval()(x) - x
        untouched = (y == 0).all(-1).all(-1).float().mean()
        assert untouched == pytest.approx(0.25, abs=0.03)  # both sub-layers left out
        dropped = block.train()._drop(torch.ones(4000, 1, 1))
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert dropped.mean() == pytest.approx(1, abs=0.1)  # as without dropping
    assert full.abs().sum() > 0


def test_grid_sinusoids_are_those_of_row_and_column() -> None:
    table = grid_sinusoids(3, 5, 8)
    for row in range(3):
        for column in range(5):
            expected = torch.cat([sinusoids(3, 4)[row], sinusoids(5, 4)[column]])
            torch.testing.assert_close(table[row * 5 + column], expected)
    with pytest.raises(ValueError, match="multiple of 4"):
        grid_sinusoids(2, 2, 6)


def test_resampling_keeps_what_it_can() -> None:
    table = torch.randn(16, 8)
    assert resample_grid(table, 4, 4) is table
    even = torch.full((16, 8), 2.5)
    torch.testing.assert_close(resample_grid(even, 7, 3), torch.full((21, 8), 2.5))
    ramp = torch.arange(4.0).repeat_interleave(4)[:, None]  # grows from row to row
    resampled = resample_grid(ramp, 8, 2).reshape(8, 2)
    torch.testing.assert_close(resampled[:, 0], resampled[:, 1])
    assert (resampled.diff(dim=0) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 17}, "image_size (17) must be a multiple of 4"),
        ({"stem": [8]}, "image_size (18) must be a multiple of 8"),
        ({"pool": "max"}, "pool"),
        ({"stem": [0]}, "positive numbers of channels"),
        ({"stem_depth": 0}, "stem_depth must be at least 1"),
        ({"patch_size": 0}, "patch_size must be at least 1"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
        ({"positions": "sinusoidal", "d_model": 6}, "multiple of 4"),
    ],
)
def test_sizes_that_cannot_work_are_refused(options: dict, message: str) -> None:
    sizes = {**TINY, **({"image_size": 18} if "stem" in options else {}), **options}
    with pytest.raises(QkvError) as error:
        parse(ViTConfig, sizes, "model")
    assert message in str(error.value)
