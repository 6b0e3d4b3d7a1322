"""What comes with the package does what its card says, on what it was not trained on."""

from pathlib import Path

import pytest

import qkv
from qkv.model_directory import CARD, CONFIG, bundled_models
from qkv.pipelines.classifier import Classifier
from qkv.pipelines.painter import Painter
from qkv.pipelines.translator import Translator

MEGABYTES = {"fashion-mnist": 3, "fashion-draw": 6, "multi30k": 20}
CLOTHES = Path(__file__).parent / "docs" / "fixtures" / "clothes"
NAMES = {
    "a T-shirt": "T-shirt/top",
    "a pair of trousers": "Trouser",
    "a pullover": "Pullover",
    "a dress": "Dress",
    "a coat": "Coat",
    "a sandal": "Sandal",
    "a shirt": "Shirt",
    "a sneaker": "Sneaker",
    "a bag": "Bag",
    "an ankle boot": "Ankle boot",
}


@pytest.mark.parametrize("name", bundled_models())
def test_every_model_is_small_and_has_a_card(name: str) -> None:
    folder = bundled_models()[name]
    assert (folder / CONFIG).is_file() and (folder / CARD).read_text().startswith(f"# {name}: ")
    assert sum(file.stat().st_size for file in folder.iterdir()) < MEGABYTES[name] * 1e6


def test_the_translator_translates() -> None:
    translator = qkv.load("multi30k")
    assert isinstance(translator, Translator)
    assert translator.translate("Two dogs are playing in the snow.", to="de").text == "Zwei Hunde spielen im Schnee."


def test_the_classifier_classifies() -> None:
    classifier = qkv.load("fashion-mnist")
    assert isinstance(classifier, Classifier)
    for name, label in (("boot", "Ankle boot"), ("dress", "Dress")):
        assert classifier.classify(CLOTHES / f"{name}.png")[0].label == label


def test_the_classifier_reads_from_drawn_clothes_what_their_captions_say() -> None:
    painter, classifier = qkv.load("fashion-draw"), qkv.load("fashion-mnist")
    assert isinstance(painter, Painter) and isinstance(classifier, Classifier)
    drawn = painter.draw(list(NAMES), n=4, guidance=3.0)
    read = [classifier.classify(pictures, top_k=1) for pictures in drawn]
    right = sum(found[0].label == label for row, label in zip(read, NAMES.values(), strict=True) for found in row)
    assert right >= 0.9 * 4 * len(NAMES)  # 98.5 % of a thousand, by the card
