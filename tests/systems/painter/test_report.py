"""Measures of a painter: each against what its pictures, drawn once more, give by another way."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import qkv
from qkv.data.captions.evaluation import EvaluationData, Prompt
from qkv.data.pictures.labels import Labels
from qkv.data.pictures.sources import Pictures
from qkv.errors import QkvError
from qkv.metrics.fid import frechet_distance
from qkv.runtime.engine import Engine
from qkv.systems.classifier.pipeline import Classifier
from qkv.systems.classifier.saved import Saved
from qkv.systems.painter import report as painter_report
from qkv.systems.painter.pipeline import Painter
from qkv.systems.painter.report import report
from tiny_painter import CODES, tiny_painter
from tiny_vit import LABELS, tiny_vit

CAPTIONS = ["an ant", "two bees", "a cow", "the cow"]
LABEL_OF = [0, 1, 2, 2]


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    return qkv.load(tiny_painter(tmp_path_factory.mktemp("painter") / "model"), device="cpu")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return qkv.load(tiny_vit(tmp_path_factory.mktemp("vit") / "model"), device="cpu")


def random_pictures(n: int, seed: int) -> list[Image.Image]:
    draw = np.random.default_rng(seed)
    return [Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(n)]


def listed(images: Sequence[Image.Image]) -> Pictures:
    return Pictures(Path(), images.__getitem__, str, (), Labels.none(len(images)))


def arrays(images: Sequence[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images]) / 255


def sample(images: Sequence[Image.Image], captions: Sequence[str] = CAPTIONS) -> EvaluationData:
    return EvaluationData(listed(images), prompts=tuple(Prompt(text, None, 0) for text in captions))


def rms(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(((x - y) ** 2).mean()))


def test_pictures_and_codes_are_those_that_are_drawn(painter: Painter) -> None:
    steps: list[tuple[str, int, int]] = []
    options = {"n": 3, "seed": 5, "top_k": 4}
    found = report(painter, sample(random_pictures(5, 0)), progress=lambda *step: steps.append(step), **options)
    drawings = painter.drawings(CAPTIONS, **options)
    images = [[drawing.image for drawing in row] for row in drawings]
    assert [(arrays(a) == arrays(b)).all() for a, b in zip(found.images, images, strict=True)] == [True] * 4
    used = {code for row in drawings for drawing in row for code in drawing.codes.tolist()}
    assert found.codebook.use == len(used) / CODES.codes
    pairs = [[rms(x, y) for i, x in enumerate(row) for y in row[:i]] for row in map(arrays, images)]
    assert found.diversity == pytest.approx(np.mean([np.mean(row) for row in pairs]))
    assert (found.reconstruction.pictures, found.drawn) == (5, 12)
    assert (found.fidelity, found.nearest, found.fid) == (None, None, None)
    assert "needs a judge" in found.why_no_fid
    assert [step for step in steps if step[1] == step[2]] == [("drawing", 12, 12), ("real pictures", 5, 5)]
    assert report(painter, sample(random_pictures(1, 0))).diversity is None


def test_the_judge_reads_what_classify_says(painter: Painter, judge: Classifier) -> None:
    found = report(painter, sample(random_pictures(2, 0)), judge=judge, n=6)
    expected = {name: [] for name in LABELS}
    for label, row in zip(LABEL_OF, painter.draw(CAPTIONS, n=6), strict=True):
        expected[LABELS[label]] += [best[0].label == LABELS[label] for best in judge.classify(row)]
    assert found.fidelity is not None
    assert {row.label: (row.share, row.pictures) for row in found.fidelity.classes} == {
        name: (pytest.approx(np.mean(right)), len(right)) for name, right in expected.items()
    }
    assert found.fidelity.share == pytest.approx(np.mean([right for row in expected.values() for right in row]))
    assert found.why_no_fid == "it needs 2,000 pictures: there are 24 drawn and 2 real ones"


def test_a_judge_that_sees_bees_everywhere(painter: Painter, tmp_path: Path) -> None:
    judge = qkv.load(tiny_vit(tmp_path / "vit"), device="cpu")
    torch.nn.init.zeros_(judge.model.head.weight)
    judge.model.head.bias.data.copy_(torch.tensor([0.0, 9.0, 0.0]))
    saved = Saved(model=judge.model.config, labels=tuple(judge.labels), preprocessing=judge.preprocessing)
    judge = Classifier(saved, Engine(judge.model))
    data = sample(random_pictures(2, 0))
    fidelity = report(painter, data, judge=judge, n=2).fidelity
    assert fidelity is not None
    assert fidelity.share == 1 / 4
    assert {row.label: row.share for row in fidelity.classes} == {"ant": 0, "bee": 1, "cow": 0}
    # The class that a caption was made of counts, whatever the caption says.
    of_bees = tuple(replace(prompt, label="bee") for prompt in data.prompts)
    fidelity = report(painter, replace(data, prompts=of_bees), judge=judge).fidelity
    assert fidelity is not None
    assert fidelity.share == 1


def test_copies_show(painter: Painter) -> None:
    real, others = random_pictures(3, 0), random_pictures(70, 1)
    drawn = [image for row in painter.draw(CAPTIONS, n=2, seed=3) for image in row]
    data = sample(real)
    known = report(painter, replace(data, train=listed([*others, *drawn])), n=2, seed=3).nearest
    assert known is not None
    assert (known.drawn.mean, known.drawn.least, known.train) == (0, 0, 78)
    found = report(painter, replace(data, train=listed(others)), n=2, seed=3)
    assert found.nearest is not None
    reconstructed = painter.images(report_codes(painter, real))
    for distances, images in (
        (found.nearest.drawn, drawn),
        (found.nearest.real, real),
        (found.nearest.reconstructed, reconstructed),
    ):
        nearest = [min(rms(x, y) for y in arrays(others)) for x in arrays(images)]
        assert (distances.mean, distances.least) == pytest.approx((np.mean(nearest), min(nearest)), abs=1e-9)


def report_codes(painter: Painter, images: Sequence[Image.Image]) -> torch.Tensor:
    pixels = torch.from_numpy(arrays(images)).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        return painter.codes.encode_images(pixels).flatten(1)


def test_fid_over_the_features_of_the_judge(
    painter: Painter, judge: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter_report, "LEAST_FOR_FID", 70)
    real = random_pictures(70, 0)
    found = report(painter, sample(real), judge=judge, n=18)
    drawn = [image for row in painter.draw(CAPTIONS, n=18) for image in row]

    def features(images: Sequence[Image.Image]) -> torch.Tensor:
        pixels = torch.stack([judge.preprocessing(image) for image in images])
        with torch.no_grad():
            return judge.model.features(pixels)

    assert found.why_no_fid == ""
    assert found.fid == pytest.approx(frechet_distance(features(drawn), features(real)), rel=1e-4)
    same = report(painter, sample(drawn), judge=judge, n=18)
    assert same.fid == pytest.approx(0, abs=1e-6)
    few = report(painter, sample(real[:69]), judge=judge, n=18)
    assert (few.fid, few.why_no_fid) == (None, "it needs 70 pictures: there are 72 drawn and 69 real ones")


def test_captions_that_the_painter_cannot_read_are_left_out(painter: Painter) -> None:
    data = sample(random_pictures(1, 0), ["a bird", "bird " * 2000, "a fish"])
    found = report(painter, data)
    assert [prompt.text for prompt in found.prompts] == ["a bird", "a fish"]
    (line,) = found.left_out
    assert line.startswith("the caption 'bird bird")
    assert "tokens, the model reads 1 to 12" in line
    with pytest.raises(QkvError, match="there is no caption to draw; the first: the caption 'bird bird"):
        report(painter, sample(random_pictures(1, 0), ["bird " * 2000]))


def test_a_limit_chooses_captions_at_random_and_always_the_same(painter: Painter) -> None:
    data = sample(random_pictures(1, 0))
    for limit, count in ((1, 1), (2, 2), (3, 3), (9, 4)):
        chosen = [report(painter, data, limit=limit).prompts for _ in range(2)]
        assert chosen[0] == chosen[1]
        places = [CAPTIONS.index(prompt.text) for prompt in chosen[0]]
        assert len(places) == count
        assert places == sorted(set(places))


def test_a_caption_without_a_class_is_refused_before_anything_is_drawn(painter: Painter, judge: Classifier) -> None:
    data = sample(random_pictures(1, 0), ["an ant and a bee"])
    with pytest.raises(QkvError, match="must name exactly one label of the classifier, but names ant and bee"):
        report(painter, data, judge=judge, progress=lambda *_: pytest.fail("began"))
    unknown = replace(data, prompts=(Prompt("a bee", "wasp", 0),))
    with pytest.raises(QkvError, match="'wasp' must name exactly one label of the classifier, but names none"):
        report(painter, unknown, judge=judge)
