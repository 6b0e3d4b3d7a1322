"""The classification task: its loss, its metrics, its model directory, and learning a toy set."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.config import parse
from qkv.data.pictures.measure import Measure
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError
from qkv.model_directory import read_weights, save_model
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import get_weights
from qkv.reporter import SILENT, Reporter
from qkv.systems.classifier.saved import Saved
from qkv.systems.classifier.suggest import reason, sizes
from qkv.systems.classifier.task import ClassifierConfig, ClassifierTask
from qkv.train.config import TrainingConfig
from qkv.train.task import Setting
from qkv.train.trainer import Trainer
from reporters import listening

SIZES = {"image_size": 8, "patch_size": 4, "d_model": 16, "n_heads": 2, "n_layers": 1, "d_ff": 32, "dropout": 0.0}


def write_stripes(folder: Path, n: int = 40) -> Path:
    """Pictures with a bright stripe that lies or stands."""
    draw = np.random.default_rng(0)
    for i in range(n):
        pixels = draw.integers(0, 60, (8, 8), dtype=np.uint8)
        row = draw.integers(0, 8)
        pixels[row] = 255
        for name, array in (("lying", pixels), ("standing", pixels.T)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"{i}.png")
    return folder


def create(
    tmp_path: Path, initial: Path | None = None, model: dict | None = None, said: Reporter | None = None, **fields
) -> ClassifierTask:
    folder = tmp_path / "stripes"
    if not folder.exists():
        write_stripes(folder)
    data = {"train": [{"folder": str(folder)}], "batch_size": 16, "holdout": 0.2}
    sections = {"data": data, "model": {**SIZES, "channels": 1, **(model or {})}, **fields}
    config = parse(ClassifierConfig, sections, "test")
    torch.manual_seed(0)
    return ClassifierTask.create(config, Setting(folder=tmp_path / "run", reporter=said or SILENT, initial=initial))


def test_loss_is_the_cross_entropy_with_smoothed_targets(tmp_path: Path) -> None:
    task = create(tmp_path, label_smoothing=0.2)
    torch.nn.init.normal_(task.model.head.weight)
    batch = task.batch(0, 0)
    assert task.denominators(batch) == {"images": 16.0}
    expected = torch.nn.functional.cross_entropy(
        task.model(batch.images), batch.targets.argmax(1), label_smoothing=0.2, reduction="sum"
    )
    torch.testing.assert_close(task.losses(batch)["images"], expected)


def test_stripes_are_learnt_and_the_exported_model_knows_them(tmp_path: Path) -> None:
    task = create(tmp_path)
    config = TrainingConfig(
        max_steps=120, warmup=10, schedule="cosine", learning_rate=0.01, validate_every=60, workers=1
    )
    outcome = Trainer(task, config, tmp_path / "run", 1, Reporter()).train()
    assert outcome.score == 100
    assert (tmp_path / "run" / "samples.png").exists()
    classifier = qkv.load(tmp_path / "run")
    files = sorted((tmp_path / "stripes").glob("*/*.png"))
    found = [row[0].label for row in classifier.classify(files)]
    assert np.mean([label == file.parent.name for label, file in zip(found, files)]) > 0.95
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "| lying | 100.0% |" in card
    assert (tmp_path / "run" / "model" / "confusion.png").exists()


def exported(folder: Path, **preprocessing: object) -> Path:
    """A model directory of random weights that know stripes."""
    config = parse(ViTConfig, {**SIZES, "channels": 1}, "test")
    torch.manual_seed(5)
    model = ViT(config, 2)
    torch.nn.init.normal_(model.head.weight)
    scale = Preprocessing(**{"size": 8, "channels": 1, "mean": (0.5,), "std": (0.5,), **preprocessing})
    saved = Saved(model=config, labels=("lying", "standing"), preprocessing=scale)
    save_model(folder, saved, get_weights(model), {})
    return folder


def test_fine_tuning_keeps_the_head_for_the_same_classes_only(tmp_path: Path) -> None:
    initial = exported(tmp_path / "initial")
    saved = read_weights(initial)
    same = get_weights(create(tmp_path, initial).model)
    assert all(torch.equal(same[name], weight) for name, weight in saved.items())
    (tmp_path / "stripes" / "neither").mkdir()
    for i in range(3):
        Image.new("L", (8, 8)).save(tmp_path / "stripes" / "neither" / f"{i}.png")
    with pytest.raises(QkvError, match="'neither' is new"):
        create(tmp_path, initial)  # the same run
    shutil.rmtree(tmp_path / "run")
    more = get_weights(create(tmp_path, initial).model)
    assert more["head.weight"].shape == (3, 16)
    assert all(torch.equal(more[name], saved[name]) for name in saved if not name.startswith("head."))


def test_an_initial_model_of_other_sizes_is_refused(tmp_path: Path) -> None:
    initial = exported(tmp_path / "initial")
    with pytest.raises(QkvError, match=r"model.d_ff is 48, but the initial model's is 32"):
        create(tmp_path, initial, model={"d_ff": 48})
    config = json.loads((initial / "config.json").read_text())
    config["preprocessing"]["std"] = "wide"
    (initial / "config.json").write_text(json.dumps(config))
    with pytest.raises(QkvError, match=r"config\.json: preprocessing\.std"):
        create(tmp_path, initial)


def test_pictures_are_prepared_as_for_the_initial_model_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    scale = {"mean": (0.2,), "std": (0.3,), "resize": "squash", "interpolation": "nearest", "crop": 0.8}
    initial = exported(tmp_path / "initial", **scale)
    reporter, said = listening()
    task = create(tmp_path, initial, said=reporter)
    assert {name: getattr(task.config.preprocessing, name) for name in scale} == scale
    assert "pictures are prepared as for the initial model\n" in said.getvalue()
    plain = create(tmp_path)
    torch.testing.assert_close(task.batch(0, 0).images, (plain.batch(0, 0).images * 0.5 + 0.5 - 0.2) / 0.3)

    reporter, said = listening()
    other = create(tmp_path, initial, said=reporter, mean=[0.4], interpolation="nearest")
    assert {name: getattr(other.config.preprocessing, name) for name in scale} == {**scale, "mean": (0.4,)}
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("pictures are prepared")]
    assert line.endswith(": mean (0.4,) instead of (0.2,)")
    other.evaluate()
    other.export(tmp_path / "out", get_weights(other.model), {"step": 1, "hours": 0.0, "validation": {"accuracy": 1.0}})
    assert json.loads((tmp_path / "out" / "config.json").read_text())["preprocessing"]["mean"] == [0.4]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": [0.5, 0.5]}, "mean needs 1 numbers"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"croop": 1.0}, "unknown field 'croop'; did you mean 'crop'?"),
    ],
)
def test_wrong_fields_are_refused(tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(QkvError) as error:
        create(tmp_path, **fields)
    assert message in str(error.value)


@pytest.mark.parametrize("pictures", [10, 3_001, 50_000, 10**6])
@pytest.mark.parametrize("side", [1, 28, 32, 100, 500])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("on_accelerator", [False, True])
def test_suggestions_are_valid(pictures: int, side: int, channels: int, on_accelerator: bool) -> None:
    found = Measure(pictures, side, channels)
    sections = sizes(found, on_accelerator)
    training = TrainingConfig(**sections.pop("training"))
    sections["data"] = {"train": [{"folder": "x"}], **sections["data"]}
    config = parse(ClassifierConfig, sections, "test")
    assert config.model.channels == channels
    assert 7 <= config.model.grid <= 16
    assert reason(found, config, training).startswith(f"{pictures:,} pictures")
