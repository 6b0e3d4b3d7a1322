"""The classifier: pictures of every kind in, calibrated classes out, whatever stands beside them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import PictureSource
from qkv.errors import QkvError
from qkv.runtime.engine import Engine
from qkv.systems.classifier.pipeline import Classifier, Prediction
from qkv.systems.classifier.report import report
from qkv.systems.classifier.saved import Saved
from tiny_vit import LABELS, tiny_vit


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return qkv.load(tiny_vit(tmp_path / "tiny"))


def pictures(n: int) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (9 + i % 5, 12, 3), dtype=np.uint8)) for i in range(n)]


def test_probabilities_are_those_of_the_model_at_its_temperature(classifier: Classifier) -> None:
    [picture] = pictures(1)
    found = classifier.classify(picture)
    logits = classifier.model(classifier.preprocessing(picture)[None])[0]
    expected = (logits / 2.0).softmax(0)
    assert [prediction.label for prediction in found] == [LABELS[i] for i in expected.argsort(descending=True)]
    assert [prediction.probability for prediction in found] == pytest.approx(expected.sort(descending=True)[0].tolist())


def test_a_list_gives_a_list_of_lists_in_order_and_batches_do_not_matter(classifier: Classifier) -> None:
    images = pictures(70)  # more than two batches
    calls: list[tuple[int, int]] = []
    found = classifier.classify(images, top_k=2, progress=lambda done, total: calls.append((done, total)))
    assert [len(row) for row in found] == [2] * 70
    assert calls[-1] == (70, 70)
    for i in (0, 31, 32, 69):
        alone = classifier.classify(images[i], top_k=2)
        assert [p.label for p in alone] == [p.label for p in found[i]]
        assert [p.probability for p in alone] == pytest.approx([p.probability for p in found[i]], abs=1e-6)
    assert classifier.classify([]) == []


def test_paths_bytes_arrays_and_images_are_the_same_picture(classifier: Classifier, tmp_path: Path) -> None:
    [picture] = pictures(1)
    picture.save(tmp_path / "p.png")
    kinds = [picture, tmp_path / "p.png", str(tmp_path / "p.png"), (tmp_path / "p.png").read_bytes(), np.array(picture)]
    answers = [classifier.classify(kind) for kind in kinds]
    assert all(answer == answers[0] for answer in answers)
    assert isinstance(answers[0][0], Prediction)


def test_a_picture_that_cannot_be_read_is_named(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(QkvError, match=r"text.jpg is not a picture"):
        classifier.classify([*pictures(2), tmp_path / "text.jpg"])
    answers = dict(enumerate(answer for _, answer in classifier.stream([tmp_path / "text.jpg", *pictures(2)])))
    assert isinstance(answers[0], QkvError)
    assert [p.label for p in answers[1]] == [p.label for p in classifier.classify(pictures(1)[0])]
    with pytest.raises(QkvError, match="top_k must be at least 1"):
        classifier.classify(pictures(1), top_k=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": []}, "labels: there is none"),
        ({"temperature": 0}, "temperature must be at least 0.001, not 0.0"),
        ({"temperature": None}, "temperature: Input should be a valid number"),
        ({"labels": ["one"]}, "head.weight is"),
        ({"preprocessing": {"size": 8, "channels": 1, "mean": [0.5], "std": [0.5]}}, "preprocessing.channels"),
        ({"model": {"d_modl": 3}}, "did you mean 'd_model'"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    folder = tiny_vit(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(QkvError) as error:
        qkv.load(folder)
    assert message in str(error.value)


def test_a_report_counts_what_classify_says(classifier: Classifier, tmp_path: Path) -> None:
    for i, picture in enumerate(pictures(40)):
        name = LABELS[i % 2]  # no cow
        (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "set" / name / f"{i}.png")
    (tmp_path / "set" / "ant" / "text.png").write_text("no picture")
    found = report(classifier, open_pictures(PictureSource.of(tmp_path / "set")))
    best = [row[0].label for row in classifier.classify(pictures(40))]
    assert found.pictures == 40
    assert found.accuracy == pytest.approx(np.mean([label == LABELS[i % 2] for i, label in enumerate(best)]))
    assert found.top_5_accuracy == 1
    assert found.confusion.sum(0).tolist() == [best.count(label) for label in LABELS]
    assert found.confusion.sum(1).tolist() == [20, 20, 0]
    assert [score.count for score in found.classes] == [20, 20, 0]
    assert len(found.unreadable) == 1
    assert json.loads(json.dumps(found.to_json()))["classes"][0]["name"] == "ant"


def test_a_test_set_of_other_classes(classifier: Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("0", "2", "wasp"):
        (folder / name).mkdir(parents=True)
        pictures(1)[0].save(folder / name / "a.png")
    with pytest.raises(QkvError, match=r"class '0' that the model does not know; choose from ant, bee, cow"):
        report(classifier, open_pictures(PictureSource.of(folder)))
    shutil.rmtree(folder / "wasp")
    names = ("1", "2", "3")  # though of digits
    saved = Saved(model=classifier.model.config, labels=names, preprocessing=classifier.preprocessing)
    numbered = Classifier(saved, Engine(classifier.model))
    with pytest.raises(QkvError, match="class '0' that the model does not know"):
        report(numbered, open_pictures(PictureSource.of(folder)))
    found = report(classifier, open_pictures(PictureSource.of(folder)))  # by number
    assert found.confusion.sum(1).tolist() == [1, 0, 1]


def test_grey_models_read_grey(tmp_path: Path) -> None:
    classifier = qkv.load(tiny_vit(tmp_path / "grey", channels=1))
    [picture] = pictures(1)
    assert classifier.classify(picture) == classifier.classify(picture.convert("L"))
    assert torch.isfinite(torch.tensor([p.probability for p in classifier.classify(picture)])).all()


def test_a_test_set_needs_only_the_classes_that_occur(classifier: Classifier, tmp_path: Path) -> None:
    pictures(1)[0].save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,label\na.png,0\n")
    names = ["bee", "never seen"]
    found = report(classifier, open_pictures(PictureSource(table=str(tmp_path / "t.csv"), classes=names)))
    assert found.confusion.sum(1).tolist() == [0, 1, 0]
