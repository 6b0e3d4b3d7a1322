"""Import of timm's Vision Transformers.

timm needs torchvision, which has no build beside PyTorch's CPU build, so what it computes is written down again in
`timm_logits`, from its documented weights. Where timm is installed, the same tests run against timm itself.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import qkv
from interop.checkpoints import (
    HEADS,
    LABELS,
    SIDE,
    WIDTH,
    edit_json,
    edit_weights,
    import_model,
    timm_folder,
    timm_logits,
)
from qkv.cli.import_ import import_
from qkv.errors import QkvError


class StandIn(nn.Module):
    """As much of timm's `VisionTransformer` as a comparison uses."""

    def __init__(self, architecture: str, num_heads: int, dynamic_img_size: bool, **sizes: object) -> None:
        super().__init__()
        assert architecture == "vit_tiny_patch16_224" and dynamic_img_size
        assert (sizes["img_size"], sizes["in_chans"], sizes["num_classes"]) == (SIDE, 3, len(LABELS))
        self.heads = num_heads

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def forward(self, images: Tensor) -> Tensor:
        return timm_logits(self.weights, images, self.heads)


@pytest.fixture(params=["stand-in", "timm"])
def reference(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "timm":
        return f"timm {pytest.importorskip('timm', exc_type=Exception).__version__}"
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=StandIn, __version__="0"))
    return "timm 0"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "timm", None)
    return timm_folder(tmp_path / "theirs")


def reason(source: Path) -> str:
    """Why it is refused; nothing may be written."""
    out = source.parent / "ours"
    with pytest.raises(QkvError) as error:
        import_(str(source), out)
    assert not out.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("arguments", [{}, {"qkv_bias": False}, {"no_embed_class": True}], ids=str)
def test_logits(tmp_path: Path, reference: str, arguments: dict) -> None:
    source = timm_folder(tmp_path / "theirs", **arguments)
    report = import_model(source, tmp_path / "ours")
    assert report.parity.reference == reference
    assert [size for size, _ in report.parity.differences] == [(SIDE, SIDE), (SIDE // 2, SIDE + 8)]
    assert all(value <= 1e-5 for _, value in report.parity.differences)
    model, weights = qkv.load(tmp_path / "ours", device="cpu").model, load_file(source / "model.safetensors")
    for sides in ((SIDE, SIDE), (SIDE // 2, SIDE + 24), (8, 8)):
        images = torch.randn(3, 3, *sides)
        theirs = timm_logits(weights, images)
        assert theirs.std(dim=0).mean() > 0.05
        torch.testing.assert_close(model(images), theirs, atol=1e-5, rtol=0)


def test_wrong_heads_fail(tmp_path: Path, reference: str) -> None:
    # The one size that no weight shows: the comparison must notice.
    source = timm_folder(tmp_path / "theirs")
    weights = load_file(source / "model.safetensors")
    images = torch.randn(2, 3, SIDE, SIDE)
    assert (timm_logits(weights, images, HEADS) - timm_logits(weights, images, 1)).abs().max() > 1e-2
    module = sys.modules["timm"]
    with pytest.MonkeyPatch.context() as patch:
        create = module.create_model
        patch.setattr(module, "create_model", lambda name, **options: create(name, **{**options, "num_heads": 1}))
        assert f"logits differ from {reference} by at most" in reason(source)


def test_all_that_a_classifier_needs(source: Path) -> None:
    report = import_model(source, source.parent / "ours")
    assert str(report.parity) == "not compared: timm is not installed"
    assert report.licence == f"see {source}"
    classifier = qkv.load(source.parent / "ours", device="cpu")
    assert classifier.labels == tuple(LABELS)
    config, preprocessing = classifier.model.config, classifier.preprocessing
    assert (config.antialias, config.norm_eps, config.n_heads) == (True, 1e-6, HEADS)
    assert (preprocessing.mean, preprocessing.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert (preprocessing.resize, preprocessing.interpolation) == ("crop", "bicubic")
    assert round(preprocessing.size / preprocessing.crop) == 35  # timm scales the shorter side to floor(32 / 0.9)


def test_heads_by_the_name_of_the_size(source: Path) -> None:
    edit_json(source / "config.json", model_args={}, architecture="deit_tiny_patch16_224")
    import_model(source, source.parent / "ours")
    assert qkv.load(source.parent / "ours", device="cpu").model.config.n_heads == 3


def test_the_older_layout_of_the_configuration(source: Path) -> None:
    recipe = {"input_size": [3, 32, 32], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "squash"}
    scale = {"mean": [0.5] * 3, "std": [0.5] * 3}
    edit_json(source / "config.json", pretrained_cfg=None, label_names=None, **recipe, **scale)
    import_model(source, source.parent / "ours")
    classifier = qkv.load(source.parent / "ours", device="cpu")
    assert (classifier.preprocessing.resize, classifier.preprocessing.interpolation) == ("squash", "bilinear")
    assert classifier.labels == ("0", "1", "2", "3", "4")


def test_a_broken_library_is_said(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source.parent / "broken").mkdir()
    (source.parent / "broken" / "timm.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.syspath_prepend(source.parent / "broken")
    report = import_model(source, source.parent / "ours")
    reason = "operator torchvision::nms does not exist"
    assert str(report.parity) == f"not compared: timm cannot be imported here ({reason})"


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("dist_token", "distillation token"),
        ("head_dist.weight", "distillation token"),
        ("reg_token", "register tokens"),
        ("norm_pre.weight", "norm before the first block (pre-norm)"),
        ("blocks.0.ls1.gamma", "layer scale"),
        ("blocks.0.gamma_1", "layer scale"),
        ("fc_norm.weight", "average pooling (fc_norm)"),
        ("attn_pool.latent", "attention pooling (attn_pool)"),
        ("rel_pos.mlp.fc1.weight", "relative positions"),
        ("blocks.0.attn.rel_pos.rel_pos_bias", "relative positions"),
        ("rope.freqs", "rotary positions"),
        ("blocks.1.mlp.w12.weight", "SwiGLU"),
        ("blocks.1.mlp.fc1_g.weight", "SwiGLU"),
        ("blocks.0.attn.q_norm.weight", "norm of queries and keys"),
        ("patch_embed.backbone.conv.weight", "convolutional backbone"),
        ("pre_logits.fc.weight", "layer before the head (pre_logits)"),
        ("blocks.0.attn.lambda_k1", "blocks.0.attn.lambda_k1"),
    ],
)
def test_refused_by_weights(source: Path, name: str, feature: str) -> None:
    edit_weights(source, lambda weights: {**weights, name: torch.ones(2)})
    assert reason(source) == f"{source} cannot be imported: qkv's ViT has no place for its {feature}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet50"}, "is a resnet50 of timm: only vit_* and deit_*"),
        ({"architecture": "vit_base_patch16_rope_224"}, "no place for its rotary positions"),
        ({"architecture": "vit_little_patch16_224", "model_args": {}}, "add num_heads to model_args"),
        ({"model_args": {"act_layer": "relu"}}, "no place for its act_layer 'relu'"),
        ({"model_args": [1]}, "config.json: model_args: Input should be a valid dictionary"),
        ({"global_pool": "avg"}, "no place for its pooling 'avg'"),
        ({"label_names": ["one"]}, "label_names must name 5 classes"),
        ({"architecture": 5}, "config.json: architecture: Input should be a valid string"),
    ],
    ids=str,
)
def test_refused_by_configuration(source: Path, changes: dict, message: str) -> None:
    edit_json(source / "config.json", **changes)
    assert message in reason(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": [3, 32, 16]}, "input_size is 32 x 16: a ViT of qkv is trained for squares only"),
        ({"crop_mode": "border"}, "crop_mode 'border' with crop_pct 1.0"),
        ({"crop_pct": 1.5}, "crop_pct must be above 0 and at most 1, not 1.5"),
        ({"interpolation": "random"}, "preprocessing: interpolation"),
        ({"mean": None}, "config.json: mean: Field required"),
    ],
    ids=str,
)
def test_refused_by_preprocessing(source: Path, changes: dict, message: str) -> None:
    recipe = {
        "input_size": [3, 32, 32],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    edit_json(source / "config.json", pretrained_cfg={**recipe, **changes})
    assert message in reason(source)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("head", "has no classification head"),
        ("cls_token", "no place for its pooling without a class token"),
        ("pos_embed", "pos_embed is missing from its weights"),
        ("norm.", "encoder.norm.bias is missing"),
    ],
)
def test_refused_for_what_is_missing(source: Path, drop: str, message: str) -> None:
    edit_weights(source, lambda weights: {name: x for name, x in weights.items() if not name.startswith(drop)})
    assert message in reason(source)


def test_positions_of_an_oblong(source: Path) -> None:
    edit_weights(source, lambda weights: {**weights, "pos_embed": torch.ones(1, 15, WIDTH)})
    assert "its 15 positions are no square grid" in reason(source)
