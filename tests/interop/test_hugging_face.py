"""Import of ViTForImageClassification, compared with transformers itself."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import ViTForImageClassification, ViTImageProcessor

import qkv
from interop.checkpoints import LABELS, SIDE, edit_json, edit_weights, hugging_face_folder, import_model
from qkv.cli.import_ import import_
from qkv.errors import QkvError
from qkv.interop.parity import LIMIT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return hugging_face_folder(tmp_path / "theirs")


def reason(source: Path) -> str:
    """Why it is refused; nothing may be written."""
    out = source.parent / "ours"
    with pytest.raises(QkvError) as error:
        import_(str(source), out)
    assert not out.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("options", [{}, {"qkv_bias": False}, {"hidden_act": "silu", "layer_norm_eps": 1e-3}], ids=str)
@pytest.mark.parametrize("sides", [(SIDE, SIDE), (SIDE // 2, SIDE + 24)], ids=str)
def test_logits(tmp_path: Path, options: dict, sides: tuple[int, int]) -> None:
    source = hugging_face_folder(tmp_path / "theirs", **options)
    report = import_model(source, tmp_path / "ours")
    assert [value <= 1e-5 for _, value in report.parity.differences] == [True, True]
    images = torch.randn(3, 3, *sides)
    with torch.no_grad():
        theirs = ViTForImageClassification.from_pretrained(source)(images, interpolate_pos_encoding=True).logits
        ours = qkv.load(tmp_path / "ours", device="cpu").model(images)
    assert theirs.std(dim=0).min() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_names_of_either_version(source: Path) -> None:
    on_disk = import_model(source, source.parent / "old")
    in_memory = ViTForImageClassification.from_pretrained(source).state_dict()
    old = {}

    def rename(weights: dict) -> dict:
        old.update(weights)
        return {name: x.clone() for name, x in in_memory.items()}

    edit_weights(source, rename)
    assert in_memory.keys() != old.keys()
    assert import_model(source, source.parent / "new") == on_disk
    weights = [(source.parent / name / "model.safetensors").read_bytes() for name in ("old", "new")]
    assert weights[0] == weights[1]


def test_all_that_a_classifier_needs(source: Path) -> None:
    report = import_model(source, source.parent / "ours")
    classifier = qkv.load(source.parent / "ours", device="cpu")
    assert classifier.labels == tuple(LABELS)
    assert not classifier.model.config.antialias
    assert classifier.model.config.norm_eps == 1e-12
    assert report.licence == "apache-2.0"
    card = (source.parent / "ours" / "README.md").read_text(encoding="utf-8")
    assert "- Licence: apache-2.0\n" in card and "logits differ from transformers" in card


@pytest.mark.parametrize("size", [(40, 60), (90, 35), (32, 32)])
def test_pictures_are_prepared_alike(source: Path, size: tuple[int, int]) -> None:
    import_model(source, source.parent / "ours")
    classifier = qkv.load(source.parent / "ours", device="cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    theirs = ViTImageProcessor.from_pretrained(source)(picture, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(classifier.preprocessing(picture), theirs, atol=1e-5, rtol=0)


def test_the_middle_cropped(source: Path) -> None:
    edit_json(source / "preprocessor_config.json", size={"shortest_edge": 40}, do_center_crop=True, crop_size=32)
    import_model(source, source.parent / "ours")
    preprocessing = qkv.load(source.parent / "ours", device="cpu").preprocessing
    assert (preprocessing.resize, preprocessing.size, preprocessing.crop) == ("crop", 32, 0.8)


def test_numbers_where_classes_have_no_names(source: Path) -> None:
    edit_json(source / "config.json", id2label=None, label2id=None, num_labels=len(LABELS))
    import_model(source, source.parent / "ours")
    assert qkv.load(source.parent / "ours", device="cpu").labels == ("0", "1", "2", "3", "4")


def test_a_head_that_is_not_read_may_be_there(source: Path) -> None:
    import_model(source, source.parent / "without")
    edit_weights(source, lambda weights: {**weights, "vit.pooler.dense.weight": torch.ones(2, 2)})
    import_model(source, source.parent / "with")
    without, with_ = (load_file(source.parent / name / "model.safetensors") for name in ("without", "with"))
    assert with_.keys() == without.keys()
    assert all(torch.equal(with_[name], without[name]) for name in without)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["ViTModel"]}, "is a ViTModel: only ViTForImageClassification"),
        ({"model_type": "swin"}, "is of the type 'swin': only ViTForImageClassification"),
        ({"problem_type": "multi_label_classification"}, "is for multi_label_classification"),
        ({"image_size": [32, 64]}, "image_size is 32 x 64: a ViT of qkv is trained for squares only"),
        ({"hidden_act": "quick_gelu"}, "no place for its activation 'quick_gelu'"),
        ({"hidden_size": None}, "config.json: hidden_size: Field required"),
        ({"num_hidden_layers": 3}, "encoder.blocks.2"),
        ({"intermediate_size": 81}, "is [80, 48], the model needs [81, 48]"),
        ({"id2label": {"0": "cat", "2": "dog"}}, "id2label must name the classes 0 to 4"),
        ({"format": 1, "system": "vit"}, "is a model of qkv already"),
        ({"num_attention_heads": 5}, "must be a multiple of n_heads (5)"),
    ],
    ids=str,
)
def test_refused_by_configuration(source: Path, changes: dict, message: str) -> None:
    edit_json(source / "config.json", **changes)
    assert message in reason(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_center_crop": True}, "neither height and width to squash pictures to"),
        ({"size": {"height": 32, "width": 48}}, "size is 32 x 48"),
        ({"size": 36}, "pictures of 36 pixels are no multiple of a patch's 8"),
        ({"resample": 1}, "resample 0 (nearest), 2 (bilinear) or 3 (bicubic), not 1"),
        ({"rescale_factor": 1.0}, "must be rescaled by 1/255"),
        ({"image_mean": [0.5]}, "mean needs 3 numbers"),
    ],
    ids=str,
)
def test_refused_by_preprocessing(source: Path, changes: dict, message: str) -> None:
    edit_json(source / "preprocessor_config.json", **changes)
    assert message in reason(source)


def test_weights_of_another_architecture_are_named(source: Path) -> None:
    edit_weights(source, lambda weights: {**weights, "vit.encoder.layer.0.layer_scale1.lambda1": torch.ones(2)})
    assert "no place for its vit.encoder.layer.0.layer_scale1.lambda1" in reason(source)


def test_nothing_is_unpickled(source: Path) -> None:
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    assert "has no model.safetensors" in reason(source)
    assert "save the model again as safetensors" in reason(source)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_damaged_files(source: Path, file: str) -> None:
    content = (source / file).read_bytes()
    (source / file).write_bytes(content[: len(content) // 2])
    assert f"{source / file} cannot be read" in reason(source)
    (source / file).unlink()
    assert f"no {file}" in reason(source)


def test_other_logits_fail(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if transformers computed something else than the names of the weights promise.
    forward = ViTForImageClassification.forward

    def different(self, **inputs):
        output = forward(self, **inputs)
        output.logits += 2 * LIMIT
        return output

    monkeypatch.setattr(ViTForImageClassification, "forward", different)
    assert "at most 2.0e-04 at 32 x 32" in reason(source)
    assert "nothing is written" in reason(source)


def test_a_missing_library_is_said(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    report = import_model(source, source.parent / "ours")
    assert str(report.parity) == "not compared: transformers is not installed"
    assert json.loads((source.parent / "ours" / "config.json").read_text(encoding="utf-8"))["system"] == "classifier"


def test_nothing_is_overwritten(source: Path) -> None:
    with pytest.raises(QkvError, match="is there already"):
        import_model(source, source)


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../x", "n" * 5000])
def test_no_such_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QkvError, match="there is no folder"):
        import_model(name, tmp_path / "ours")


def test_the_hub_out_of_reach(tmp_path: Path) -> None:
    # The suite is offline.
    with pytest.raises(QkvError, match="the Hugging Face Hub cannot be reached"):
        import_model("no-such-owner/no-such-model", tmp_path / "ours")
