"""Pictures a second of Vision Transformers, side by side: ours, timm, Hugging Face, ONNX Runtime and OpenVINO.

    python -m benchmarks.classify [--models tiny base] [--batches 1 32] [--rounds 7] [--json FILE]

Random weights of the same sizes, pictures of 224 x 224 pixels, float32 unless the name says otherwise. The contestants
take turns within each round, and the median over the rounds counts; ratios are to ours in the same run. What is not
installed is left out, by name. `--train` times a training step (forward, backward, AdamW) instead, of ours, timm and
Hugging Face.
"""

import argparse
import functools
import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarks.contest import Turn, contest, machine, versions
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.models.vit import ViT, ViTConfig
from qkv.runtime.engine import open_engine
from qkv.systems.classifier.pipeline import Classifier
from qkv.systems.classifier.saved import Saved

SIZE, CLASSES = 224, 1000
PACKAGES = ("qkv", "torch", "timm", "transformers", "onnxruntime", "openvino")

TORCHVISION_OPERATORS = (
    *("roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "roi_pool", "_roi_pool_backward"),
    *("ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward", "nms", "qnms", "qroi_align"),
)
LIBRARIES: list[torch.library.Library] = []  # what they declare goes when they go


@dataclass(frozen=True)
class Sizes:
    """ViT-Tiny/16 or ViT-Base/16 (Dosovitskiy et al. 2020, table 1; Touvron et al. 2021, table 1)."""

    name: str
    d_model: int
    n_heads: int
    n_layers: int = 12

    def ours(self) -> ViT:
        """Our model of these sizes."""
        config = ViTConfig(
            d_model=self.d_model,
            d_ff=4 * self.d_model,
            n_heads=self.n_heads,
            n_layers=self.n_layers,
            dropout=0.0,
            norm_eps=1e-6,
        )
        return ViT(config, CLASSES)


MODELS = {"tiny": Sizes("vit_tiny_patch16_224", 192, 3), "base": Sizes("vit_base_patch16_224", 768, 12)}


def main() -> None:
    """Run the contest and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train", action="store_true", help="time a training step")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    console = Console(stderr=True)
    rows = []
    for model in options.models:
        for batch in options.batches:
            torch.manual_seed(0)
            images = torch.randn(batch, 3, SIZE, SIZE)
            turns = training(MODELS[model], images) if options.train else inference(MODELS[model], images, console)
            for name, seconds in contest(turns, options.rounds).items():
                rows.append({"model": MODELS[model].name, "batch": batch, "contestant": name, "seconds": seconds})
    show(rows)
    result = {"rows": rows, "rounds": options.rounds, "versions": versions(PACKAGES), "machine": machine()}
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def inference(sizes: Sizes, images: Tensor, console: Console) -> dict[str, Turn]:
    """One forward pass of each contestant that is there."""
    ours = sizes.ours().eval()
    half = (0.5, 0.5, 0.5)
    preprocessing = Preprocessing(size=SIZE, channels=3, mean=half, std=half)
    saved = Saved(model=ours.config, labels=tuple(map(str, range(CLASSES))), preprocessing=preprocessing)
    classifier = Classifier(saved, open_engine(ours, kind="fused"))
    bfloat = Classifier(saved, open_engine(sizes.ours().bfloat16(), kind="fused"))
    found: dict[str, Turn] = {
        "qkv": lambda: classifier.run(images),
        "qkv bfloat16": lambda: bfloat.run(images.bfloat16()),
        "qkv, the model alone": lambda: forward(ours, images),
    }
    if (theirs := timm_model(sizes)) is not None:
        found["timm"] = lambda: forward(theirs, images)
        compiled = torch.compile(theirs)
        found["timm compiled"] = lambda: forward(compiled, images)
    if (hugging := hugging_face_model(sizes)) is not None:
        found["Hugging Face"] = lambda: forward(hugging, images)
    found |= onnx_contestants(ours, images)
    for package in ("timm", "transformers", "onnxruntime", "openvino"):
        if importlib.util.find_spec(package) is None:
            console.print(f"left out: {package} is not installed")
    return found


def training(sizes: Sizes, images: Tensor) -> dict[str, Turn]:
    """One training step of each contestant that is there."""
    models = {"qkv": sizes.ours(), "timm": timm_model(sizes), "Hugging Face": hugging_face_model(sizes)}
    return {name: training_step(model, images) for name, model in models.items() if model is not None}


def training_step(model: nn.Module, images: Tensor) -> Turn:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    labels = torch.arange(len(images)) % CLASSES

    def step() -> None:
        output = model(images)
        loss = nn.functional.cross_entropy(getattr(output, "logits", output), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


@torch.inference_mode()
def forward(model: Callable[[Tensor], object], images: Tensor) -> object:
    """What the model makes of the pictures."""
    return model(images)


def timm_model(sizes: Sizes) -> nn.Module | None:
    """Timm's model of these sizes, if timm can be imported."""
    if torch.version.cuda is None and importlib.util.find_spec("torchvision") is not None:
        declare_torchvision_operators()
    try:
        import timm  # pyright: ignore[reportMissingImports]: where it is installed
    except Exception:  # timm needs torchvision, which fails in its own ways beside a PyTorch it was not built for
        return None
    return timm.create_model(sizes.name, num_classes=CLASSES).eval()


@functools.cache
def declare_torchvision_operators() -> None:
    """Let torchvision be imported where its compiled operators do not load; timm's Vision Transformers use none."""
    library = torch.library.Library("torchvision", "DEF")
    for name in TORCHVISION_OPERATORS:
        library.define(f"{name}(Tensor x) -> Tensor")
    LIBRARIES.append(library)


def hugging_face_model(sizes: Sizes) -> nn.Module | None:
    """Hugging Face's model of these sizes, if it is installed."""
    if importlib.util.find_spec("transformers") is None:
        return None
    from transformers import ViTConfig as HfConfig
    from transformers import ViTForImageClassification

    config = HfConfig(
        hidden_size=sizes.d_model,
        num_attention_heads=sizes.n_heads,
        num_hidden_layers=sizes.n_layers,
        intermediate_size=4 * sizes.d_model,
        num_labels=CLASSES,  # pyright: ignore[reportCallIssue]: every configuration takes it
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ViTForImageClassification(config).eval()


def onnx_contestants(model: ViT, images: Tensor) -> dict[str, Turn]:
    """ONNX Runtime, in float32 and with int8 weights and activations, and OpenVINO, in float32 and bfloat16."""
    found: dict[str, Turn] = {}
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnxscript") is None:
        return found
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    pixels = np.ascontiguousarray(images.numpy())
    folder = Path(tempfile.mkdtemp(prefix="qkv-benchmark-"))
    plain, small = folder / "vit.onnx", folder / "vit-int8.onnx"
    torch.onnx.export(model, (images,), plain, input_names=["images"], dynamo=True, verbose=False)
    quantize_dynamic(plain, small)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    for name, file in (("ONNX Runtime", plain), ("ONNX Runtime int8", small)):
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        found[name] = lambda session=session: session.run(None, {"images": pixels})
    if importlib.util.find_spec("openvino") is not None:
        import openvino  # pyright: ignore[reportMissingImports]: where it is installed

        core = openvino.Core()
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        for name, precision in (("OpenVINO", "f32"), ("OpenVINO bfloat16", "bf16")):
            compiled = core.compile_model(plain, "CPU", {**threads, "INFERENCE_PRECISION_HINT": precision})
            found[name] = lambda compiled=compiled: compiled(pixels)
    return found


def show(rows: list[dict]) -> None:
    """Print pictures a second, and how many times ours that is."""
    table = Table("model", "batch", "contestant", "pictures/s", "times ours")
    ours = {(row["model"], row["batch"]): row["seconds"] for row in rows if row["contestant"] == "qkv"}
    for row in rows:
        ratio = ours[row["model"], row["batch"]] / row["seconds"]
        speed = row["batch"] / row["seconds"]
        table.add_row(row["model"], str(row["batch"]), row["contestant"], f"{speed:,.1f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
