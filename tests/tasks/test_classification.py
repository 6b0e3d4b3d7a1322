"""The classification task: its loss, its metrics, its model directory, and learning a toy set."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import qkv
from qkv.config import parse
from qkv.errors import QkvError
from qkv.model_directory import read_weights
from qkv.models.weights import get_weights
from qkv.tasks.classification import ClassificationConfig, ClassificationTask
from qkv.tasks.picture_suggestion import suggest_classifier
from qkv.train.config import TrainingConfig
from qkv.train.trainer import Trainer

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


def create(tmp_path: Path, initial: Path | None = None, model: dict | None = None, **fields) -> ClassificationTask:
    folder = tmp_path / "stripes"
    if not folder.exists():
        write_stripes(folder)
    data = {"train": [{"folder": str(folder)}], "batch_size": 16, "holdout": 0.2}
    sections = {"data": data, "model": {**SIZES, "channels": 1, **(model or {})}, **fields}
    config = parse(ClassificationConfig, sections, "test")
    torch.manual_seed(0)
    return ClassificationTask.create(config, tmp_path / "run", 1, Console(file=StringIO()), initial)


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
    outcome = Trainer(task, config, tmp_path / "run", 1, Console(file=StringIO())).train()
    assert outcome.score == 100
    assert (tmp_path / "run" / "samples.png").exists()
    classifier = qkv.load(tmp_path / "run")
    files = sorted((tmp_path / "stripes").glob("*/*.png"))
    found = [row[0].label for row in classifier.classify(files)]
    assert np.mean([label == file.parent.name for label, file in zip(found, files)]) > 0.95
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "| lying | 100.0% |" in card
    assert (tmp_path / "run" / "model" / "confusion.png").exists()

    # Fine-tuning keeps everything for the same classes, and all but the head for others.
    initial = tmp_path / "run" / "model"
    same = create(tmp_path, initial)
    saved = read_weights(initial)
    assert all(torch.equal(weight, saved[name]) for name, weight in get_weights(same.model).items())
    (tmp_path / "stripes" / "neither").mkdir()
    for i in range(3):
        Image.new("L", (8, 8)).save(tmp_path / "stripes" / "neither" / f"{i}.png")
    more = get_weights(create(tmp_path, initial).model)
    assert more["head.weight"].shape == (3, 16)
    assert all(torch.equal(more[name], saved[name]) for name in saved if not name.startswith("head."))
    with pytest.raises(QkvError, match=r"model.d_ff is 48, but the initial model's is 32"):
        create(tmp_path, initial, model={"d_ff": 48})


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
    suggestion = suggest_classifier(pictures, side, channels, on_accelerator)
    sections = dict(suggestion.sections)
    TrainingConfig(**sections.pop("training"))
    sections["data"] = {"train": [{"folder": "x"}], **sections["data"]}
    config = parse(ClassificationConfig, sections, "test")
    assert config.model.channels == channels
    assert 7 <= config.model.grid <= 16
    assert suggestion.reason.startswith(f"{pictures:,} pictures")
