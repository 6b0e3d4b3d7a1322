"""Exported classifiers against ours, run by ONNX Runtime and by `torch.export`.

The command runs in a process of its own: the tracer follows Python code, and cannot follow the checks of shapes that
this suite puts around every function.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from qkv.config import parse
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError
from qkv.interop.exporting import METADATA, export_classifier
from qkv.model_directory import save_model
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import get_weights
from qkv.systems.classifier.saved import Saved
from tiny import tiny_translator

TINY = {"image_size": 16, "patch_size": 4, "d_model": 16, "n_heads": 2, "n_layers": 2, "d_ff": 24}
LABELS = ["고양이", "dog"]
MODELS = {
    "plain": {},
    "other": {
        "pool": "sequence",
        "stem": (8,),
        "patch_size": 1,
        "channels": 1,
        "positions": "sinusoidal",
        "norm": "post",
        "activation": "relu",
    },
}
# Each line of the input is a command; each line of the output its status and what it printed.
RUN = """
import contextlib, io, json, sys
from qkv.cli.main import main
for line in sys.stdin:
    sys.argv, out, err = ["qkv", *json.loads(line)], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as status:
            print(json.dumps([status.code, out.getvalue(), err.getvalue()]), file=sys.__stdout__)
"""


def make(**options) -> ViT:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**{**TINY, **options}), 2)
    torch.nn.init.normal_(model.head.weight)
    return model.eval()


def facts(model: ViT) -> dict:
    channels = model.config.channels
    preprocessing = Preprocessing(size=16, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    return {"labels": LABELS, "preprocessing": json.loads(json.dumps(asdict(preprocessing))), "temperature": 1.5}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, str, str]]]:
    """A folder of exported models, and how each command ended, by the name of its file."""
    folder = tmp_path_factory.mktemp("export")
    tiny_translator(folder / "translator")
    for name, options in MODELS.items():
        model = make(**options)
        saved = parse(Saved, {"model": asdict(model.config), **facts(model)}, "test")
        save_model(folder / name, saved, get_weights(model), {})
    commands = {
        f"{name}.{suffix}": ["export", name, "--format", format_, "--out", f"new/{name}.{suffix}"]
        for name in (*MODELS, "translator")
        for format_, suffix in (("onnx", "onnx"), ("torch", "pt2"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        input="".join(json.dumps(command) + "\n" for command in commands.values()),
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return folder / "new", dict(zip(commands, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_onnx(exported: tuple, name: str) -> None:
    folder, results = exported
    path, model = folder / f"{name}.onnx", make(**MODELS[name])
    stored = onnx.load(path)
    onnx.checker.check_model(stored, full_check=True)
    opset = next(opset.version for opset in stored.opset_import if not opset.domain)
    metadata = {entry.key: json.loads(entry.value) for entry in stored.metadata_props}
    assert metadata == {"system": "classifier", **facts(model)}
    session = onnxruntime.InferenceSession(path)
    for n in (1, 2, 7):
        images = torch.randn(n, model.config.channels, 16, 16)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        np.testing.assert_allclose(found, model(images).detach().numpy(), atol=1e-5)
    status, out, err = results[path.name]
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first == f"new/{path.name}: onnx, opset {opset}, {path.stat().st_size / 2**20:.1f} MiB"
    assert second.startswith(f"parity: logits of ONNX Runtime {onnxruntime.__version__} differ from ours by at most ")


@pytest.mark.parametrize("name", MODELS)
def test_torch(exported: tuple, name: str) -> None:
    folder, results = exported
    path, model = folder / f"{name}.pt2", make(**MODELS[name])
    extra = {METADATA: ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra[METADATA]) == {"system": "classifier", **facts(model)}
    for n in (1, 2, 7):
        images = torch.randn(n, model.config.channels, 16, 16)
        torch.testing.assert_close(program(images), model(images), atol=1e-5, rtol=0)
    status, out, err = results[path.name]
    assert (status, err) == (0, "")
    assert f"parity: logits of PyTorch {torch.__version__} differ from ours by at most " in out


def test_only_what_was_asked_for_is_written(exported: tuple) -> None:
    # The weights of an ONNX model are in it, not beside it.
    folder, results = exported
    assert {path.name for path in folder.iterdir()} == {name for name, (status, _, _) in results.items() if status == 0}
    status, out, err = results["translator.onnx"]
    assert (status, out) == (1, "")
    assert err == "error: translator is a translator, which cannot be exported: use `qkv translate`\n"


@pytest.fixture
def plain_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not follow Python code; it is enough for pooling by mean."""

    def trace(model: ViT) -> torch.export.ExportedProgram:
        batch = {0: torch.export.Dim.DYNAMIC}
        return torch.export.export(model, (torch.randn(2, 3, 16, 16),), dynamic_shapes=(batch,))

    monkeypatch.setattr("qkv.interop.exporting._trace", trace)


def test_not_checked_without_onnx_runtime(tmp_path: Path, plain_tracer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = export_classifier(make(pool="mean"), {}, "onnx", tmp_path / "model.onnx")
    assert (report.checked_with, report.difference) == (None, None)


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_a_program_that_differs_is_not_written(
    tmp_path: Path, plain_tracer: None, monkeypatch: pytest.MonkeyPatch, error: float
) -> None:
    load = torch.export.load

    def different(file):
        program = load(file)
        program.state_dict["head.bias"].data += error
        return program

    monkeypatch.setattr(torch.export, "load", different)
    with pytest.raises(QkvError, match=r"differ by (1\.0e-03|nan), above 1e-04: not written"):
        export_classifier(make(pool="mean"), {}, "torch", tmp_path / "model.pt2")
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QkvError, match=r"--format onx is not known; did you mean 'onnx'\?"):
        export_classifier(make(), {}, "onx", tmp_path / "model")
    with pytest.raises(QkvError, match="is a folder: give the file to write"):
        export_classifier(make(), {}, "torch", tmp_path)
    monkeypatch.setattr("qkv.interop.exporting._ONNX_MOST", 1000)
    with pytest.raises(QkvError, match="larger than the 2 GiB that an ONNX file can hold: use --format torch"):
        export_classifier(make(), {}, "onnx", tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(QkvError, match=r"--format onnx needs onnxscript: pip install 'qkv\[export\]'"):
        export_classifier(make(), {}, "onnx", tmp_path / "model.onnx")
