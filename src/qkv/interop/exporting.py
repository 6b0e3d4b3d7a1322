"""From our classifier to a program that other runtimes run: ONNX, or PyTorch's own `torch.export`."""

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qkv.config import nearest
from qkv.errors import QkvError
from qkv.files import atomic_file
from qkv.interop.parity import LIMIT, Logits
from qkv.json_text import json_text
from qkv.models.vit import ViT

INPUT, OUTPUT, METADATA = "images", "logits", "metadata.json"
_ONNX_MOST = 2**31 - 1  # bytes of a protocol buffer


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        checked_with: what ran the file, and its version; None if nothing could.
        difference: the largest of its logits from ours.
        opset: the version of ONNX's operators; None for `torch`.
        size: bytes of the file.
    """

    checked_with: str | None
    difference: float | None
    opset: int | None
    size: int


def export_classifier(model: ViT, metadata: Mapping[str, Any], format: str, out: Path) -> ExportReport:
    """Write a classifier as one file, run it, and compare its logits with ours.

    The program reads "images", normalised pictures [B, C, H, W] of the trained size and any B, and gives "logits"
    [B, K]. The file appears when it is checked. In the format `onnx` each JSON value of the metadata becomes a property
    of the model; in `torch`, which `torch.export.load` reads, all together are its file metadata.json.

    Raises:
        QkvError: a library that ONNX needs is missing, the model is too large for the format, or its logits differ.
    """
    if format not in _WRITERS:
        raise QkvError(f"--format {format} is not known; {nearest(format, _WRITERS)}")
    if out.is_dir():
        raise QkvError(f"{out} is a folder: give the file to write, such as {out / 'model'}")
    model.eval()
    with atomic_file(out) as temporary:
        checked_with, run, opset = _WRITERS[format](model, metadata, temporary)
        difference = None if run is None else _difference(model, run)
        if difference is not None and not difference <= LIMIT:  # so that NaN fails too
            found = f"{checked_with} gives logits that differ by {difference:.1e}"
            raise QkvError(f"{found}, above {LIMIT:.0e}: not written")
        return ExportReport(checked_with, difference, opset, temporary.stat().st_size)


_Written = tuple[str | None, Logits | None, int | None]


def _write_onnx(model: ViT, metadata: Mapping[str, Any], path: Path) -> _Written:
    try:
        importlib.import_module("onnxscript")
    except ImportError:
        raise QkvError("--format onnx needs onnxscript: pip install 'qkv[export]'") from None
    if 4 * sum(parameter.numel() for parameter in model.parameters()) > _ONNX_MOST:
        raise QkvError("the model is larger than the 2 GiB that an ONNX file can hold: use --format torch")
    with _quiet():
        program = torch.onnx.export(_trace(model), input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    assert program is not None, "without a file name, a program comes back"
    for name, value in metadata.items():
        program.model.metadata_props[name] = json_text(value)
    program.save(path, external_data=False)
    return *_onnx_runtime(path), program.model.opset_imports[""]


def _onnx_runtime(path: Path) -> tuple[str | None, Logits | None]:
    try:
        import onnxruntime
    except ImportError:
        return None, None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return f"ONNX Runtime {onnxruntime.__version__}", run


def _write_torch(model: ViT, metadata: Mapping[str, Any], path: Path) -> _Written:
    with path.open("wb") as file:
        torch.export.save(_trace(model), file, extra_files={METADATA: json_text(metadata)})
    with path.open("rb") as file:
        return f"PyTorch {torch.__version__}", torch.export.load(file).module(), None


def _trace(model: ViT) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim.DYNAMIC}
    return torch.export.export(model, (_pictures(model, 2),), dynamic_shapes=(batch,))


_WRITERS = {"onnx": _write_onnx, "torch": _write_torch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own inside and on libraries that a ViT does not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@torch.inference_mode()
def _difference(model: ViT, run: Logits) -> float:
    """The largest difference of a logit, for a batch of one picture and one of three."""
    return max((model(images) - run(images)).abs().max().item() for images in (_pictures(model, n) for n in (1, 3)))


def _pictures(model: ViT, n: int) -> Float[Tensor, "B C H W"]:
    side, generator = model.config.image_size, torch.Generator().manual_seed(n)
    return torch.randn(n, model.config.channels, side, side, generator=generator)
