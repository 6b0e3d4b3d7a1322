"""`ViTForImageClassification` of Hugging Face's transformers, as saved by its versions 4 and 5."""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor

from qkv.errors import QkvError
from qkv.interop.checkpoint import Checkpoint, build
from qkv.interop.names import refuse, rename
from qkv.interop.parity import Logits, Reference
from qkv.interop.source import PREPROCESSOR, Source, select, square
from qkv.model_directory import read_weights

ARCHITECTURE = "ViTForImageClassification"
_MODULES = {
    "vit.embeddings.cls_token": "class_token",
    "vit.embeddings.position_embeddings": "positions",
    "vit.embeddings.patch_embeddings.projection": "patches",
    "vit.layernorm": "encoder.norm",
    "classifier": "head",
}
_LAYER = re.compile(r"vit\.(?:encoder\.layer|layers)\.(\d+)\.")
# Where there are two names, the first is that on disk, whichever version wrote it, and the second that in the memory of
# version 5, which other tools may have written down.
_PARTS = {
    "layernorm_before": "self_norm",
    "layernorm_after": "feed_forward_norm",
    **dict.fromkeys(("attention.attention.query", "attention.q_proj"), "self_attention.query"),
    **dict.fromkeys(("attention.attention.key", "attention.k_proj"), "self_attention.key"),
    **dict.fromkeys(("attention.attention.value", "attention.v_proj"), "self_attention.value"),
    **dict.fromkeys(("attention.output.dense", "attention.o_proj"), "self_attention.output"),
    **dict.fromkeys(("intermediate.dense", "mlp.fc1"), "feed_forward.inner"),
    **dict.fromkeys(("output.dense", "mlp.fc2"), "feed_forward.outer"),
}
# Part of other models on the same trunk; the classifier does not read them.
_UNUSED = ("vit.pooler.", "vit.embeddings.mask_token")
_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What we read of config.json."""

    architectures: tuple[str, ...] = (ARCHITECTURE,)
    problem_type: str = "single_label_classification"
    hidden_act: str
    hidden_size: int
    image_size: int | list[int]
    patch_size: int | list[int]
    intermediate_size: int
    layer_norm_eps: float
    num_attention_heads: int
    num_channels: int
    num_hidden_layers: int
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    id2label: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _Processor:
    """What we read of preprocessor_config.json."""

    size: int | dict[str, int]
    do_resize: bool = True
    resample: int = 2
    do_center_crop: bool = False
    crop_size: int | dict[str, int] | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)


def read_hugging_face(source: Source) -> Checkpoint:
    """Read a checkpoint whose `model_type` is "vit"; QkvError if it is incomplete, or has what our ViT has not."""
    config = select(_Model, source.config, f"{source.name}/config.json")
    if ARCHITECTURE not in config.architectures:
        raise QkvError(f"{source.name} is a {', '.join(config.architectures)}: only {ARCHITECTURE} can be imported")
    if config.problem_type != "single_label_classification":
        raise QkvError(f"{source.name} is for {config.problem_type}: a classifier of qkv gives one label a picture")
    processor = select(_Processor, source.read(PREPROCESSOR), f"{source.name}/{PREPROCESSOR}")
    preprocessing = _preprocessing(processor, f"{source.name}/{PREPROCESSOR}")
    model, prepared = build(source.name, _sizes(config, source.name), preprocessing, _rename_all(source))
    labels = _labels(config, model.head.out_features, source.name)
    reference = Reference("transformers", "transformers.models.vit.modeling_vit", lambda module: _load(module, source))
    return Checkpoint("Hugging Face ViT", model, labels, prepared, reference)


def _rename_all(source: Source) -> dict[str, Tensor]:
    theirs = {name: x for name, x in read_weights(source.folder).items() if not name.startswith(_UNUSED)}
    named = {name: rename(name, _MODULES, _LAYER, _PARTS) for name in theirs}
    refuse(source.name, (name for name, ours in named.items() if ours is None))
    weights = {ours: theirs[name] for name, ours in named.items() if ours is not None}
    for table in ("class_token", "positions"):
        if table in weights:
            weights[table] = weights[table].flatten(0, -2)  # [1, N, D] -> [N, D]
    return weights


def _sizes(config: _Model, name: str) -> dict[str, Any]:
    if config.hidden_act not in _ACTIVATIONS:
        refuse(name, [f"activation {config.hidden_act!r}"])
    return {
        "image_size": square(config.image_size, f"{name}/config.json: image_size"),
        "patch_size": square(config.patch_size, f"{name}/config.json: patch_size"),
        "channels": config.num_channels,
        "d_model": config.hidden_size,
        "n_heads": config.num_attention_heads,
        "n_layers": config.num_hidden_layers,
        "d_ff": config.intermediate_size,
        "dropout": config.hidden_dropout_prob,
        "attention_dropout": config.attention_probs_dropout_prob,
        "activation": _ACTIVATIONS[config.hidden_act],
        "norm_eps": config.layer_norm_eps,
        "antialias": False,
    }


def _preprocessing(config: _Processor, where: str) -> dict[str, Any]:
    if not config.do_resize or config.resample not in _RESAMPLING:
        raise QkvError(
            f"{where}: do_resize must be true and resample 0 (nearest), 2 (bilinear) or 3 (bicubic), "
            f"not {config.resample}: qkv resizes pictures in no other way"
        )
    if not config.do_rescale or abs(config.rescale_factor * 255 - 1) > 1e-6:
        raise QkvError(f"{where}: pixels must be rescaled by 1/255: qkv scales them in no other way")
    fields = {**_fit(config, where), "interpolation": _RESAMPLING[config.resample]}
    return fields | {"mean": config.image_mean, "std": config.image_std} if config.do_normalize else fields


def _fit(config: _Processor, where: str) -> dict[str, Any]:
    """How pictures get their size: squashed to it, or the middle cropped out of what is resized in proportion."""
    size = {"height": config.size, "width": config.size} if isinstance(config.size, int) else config.size
    crop = config.crop_size if isinstance(config.crop_size, dict) else {"height": config.crop_size}
    if not config.do_center_crop and size.keys() == {"height", "width"}:
        return {"size": square([size["height"], size["width"]], f"{where}: size"), "resize": "squash"}
    side = crop.get("height")
    if config.do_center_crop and size.keys() == {"shortest_edge"} and side and crop.get("width", side) == side:
        return {"size": side, "resize": "crop", "crop": side / size["shortest_edge"]}
    raise QkvError(
        f"{where}: size {config.size} with do_center_crop {config.do_center_crop} and crop_size {config.crop_size} is "
        "neither height and width to squash pictures to, nor a shortest_edge and a square to crop"
    )


def _labels(config: _Model, n_classes: int, name: str) -> list[str]:
    numbers = [str(number) for number in range(n_classes)]
    labels = config.id2label or {number: number for number in numbers}
    if labels.keys() != set(numbers):
        raise QkvError(f"{name}/config.json: id2label must name the classes 0 to {n_classes - 1}, and no others")
    return [str(labels[number]) for number in numbers]


def _load(module: ModuleType, source: Source) -> Logits:
    import transformers.utils.logging as logging

    # Our own report is all that the user asked for.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model = getattr(module, ARCHITECTURE).from_pretrained(source.folder, use_safetensors=True).float().eval()
    return lambda images: model(pixel_values=images, interpolate_pos_encoding=True).logits
