"""Candidates ordered by a judge, and the label that a caption names."""

from pathlib import Path

import pytest

import qkv
from qkv.errors import QkvError
from qkv.systems.judge import named_label
from qkv.systems.painter.pipeline import Painter
from tiny_painter import CAPTIONS, tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import LABELS, tiny_vit

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    return qkv.load(tiny_painter(tmp_path_factory.mktemp("painter") / "model"), device="cpu")


def test_a_scorer_orders_by_similarity(painter: Painter, tmp_path: Path) -> None:
    scorer = qkv.load(tiny_scorer(tmp_path / "scorer"), device="cpu")
    captions = CAPTIONS[:2]
    plain = painter.draw(captions, n=6)
    for caption, images, ranked in zip(captions, plain, painter.drawings(captions, n=6, scorer=scorer), strict=True):
        best_first = scorer.score(images, caption)[:, 0].sort(descending=True)
        assert [drawing.score for drawing in ranked] == pytest.approx(best_first.values.tolist(), abs=1e-6)
        assert [drawing.image.tobytes() for drawing in ranked] == [images[i].tobytes() for i in best_first.indices]


def test_a_classifier_orders_by_the_probability_of_the_label(painter: Painter, tmp_path: Path) -> None:
    classifier = qkv.load(tiny_vit(tmp_path / "vit"), device="cpu")
    caption = "two Cows"
    images, (ranked,) = painter.draw(caption, n=6), painter.drawings([caption], n=6, scorer=classifier)
    found = [{p.label: p.probability for p in classifier.classify(image)}["cow"] for image in images]
    assert classifier.judge(caption, images) == pytest.approx(found)
    assert [drawing.score for drawing in ranked] == pytest.approx(sorted(found, reverse=True))


class _Brightness:
    """A judge of one's own."""

    def judge(self, caption: str, images: list) -> list[float]:
        return [float(sum(image.convert("L").tobytes())) for image in images]


def test_any_judge_will_do(painter: Painter) -> None:
    (ranked,) = painter.drawings(["a red bird"], n=5, scorer=_Brightness())
    scores = [drawing.score for drawing in ranked]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1


def test_what_cannot_be_judged_is_refused_before_drawing(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = qkv.load(tiny_vit(tmp_path / "vit"), device="cpu")
    monkeypatch.setattr(painter, "draw_tokens", None)
    with pytest.raises(QkvError, match=r"the caption 'a red bird' must name exactly one label .* names none; .* ant, "):
        painter.draw(["a bee", "a red bird"], scorer=classifier)
    with pytest.raises(QkvError, match="rerank and scorer are two ways to order"):
        painter.draw("a bee", rerank=True, scorer=classifier)


@pytest.mark.parametrize(
    ("caption", "labels", "named"),
    [
        ("a photo of an ANT", LABELS, "ant"),
        ("ants, from above", LABELS, "ant"),
        ("a T-shirt", FASHION, "T-shirt/top"),
        ("a shirt", FASHION, "Shirt"),
        ("a pair of trousers", FASHION, "Trouser"),
        ("two dresses", FASHION, "Dress"),
        ("an ankle\n boot", FASHION, "Ankle boot"),
        ("a traffic light", ["light", "traffic_light"], "traffic_light"),
        ("a hot dog", ["dog", "hot dog"], "hot dog"),
        ("glasses", ["glass", "glasses"], "glasses"),
        ("a tinca tinca", ["tench, Tinca tinca", "goldfish"], "tench, Tinca tinca"),
        ("a c++ (book)", ["C++", "C"], "C++"),
        ("빨간 새", ["새", "물고기"], "새"),
    ],
)
def test_the_label_that_a_caption_names(caption: str, labels: list[str], named: str) -> None:
    assert labels[named_label(caption, labels)] == named


@pytest.mark.parametrize(
    ("caption", "labels", "said"),
    [
        ("a bird", LABELS, "names none; the labels: ant, bee, cow"),
        ("a giant antelope", LABELS, "names none"),
        ("", LABELS, "names none"),
        ("a bee on a cow", LABELS, "names bee and cow; the labels: ant, bee, cow"),
        ("a crane", ["crane", "crane"], "names crane and crane"),
        ("a bird", ["", " "], "names none"),
        ("a bird", [str(i) for i in range(2000)], r"8, 9, 10, 11 and 1,988 more"),
    ],
)
def test_a_caption_that_names_no_label_or_several(caption: str, labels: list[str], said: str) -> None:
    with pytest.raises(QkvError, match=said) as error:
        named_label(caption, labels)
    assert repr(caption) in str(error.value)
