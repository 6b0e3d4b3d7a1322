"""What comes with the package does what its card says, on what it was not trained on."""

from pathlib import Path

import numpy as np
import pytest

import qkv
from qkv.model_directory import CARD, CONFIG, bundled_models
from qkv.systems.classifier.pipeline import Classifier
from qkv.systems.painter.pipeline import Painter
from qkv.systems.translator.pipeline import Translator

MEGABYTES = {"emoji": 20, "fashion-mnist": 3, "fashion-draw": 6, "multi30k": 20}
CLOTHES = Path(__file__).resolve().parents[1] / "examples" / "clothes"
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

# The colours that cover most of the emoji of each skin tone, from light to dark, and what the tones are called.
SKIN = np.array([(249, 221, 189), (224, 187, 149), (186, 141, 104), (165, 108, 67), (112, 83, 74)])
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
KOREAN_TONES = ("하얀", "연한 갈색", "갈색", "진한 갈색", "검은색")


@pytest.mark.parametrize("name", bundled_models())
def test_every_model_is_small_and_has_a_card(name: str) -> None:
    folder = bundled_models()[name]
    assert (folder / CONFIG).is_file() and (folder / CARD).read_text().startswith(f"# {name}: ")
    assert sum(file.stat().st_size for file in folder.iterdir()) < MEGABYTES[name] * 1e6


def test_the_translator_translates() -> None:
    translator = qkv.load("multi30k")
    assert isinstance(translator, Translator)
    assert translator.translate("Two dogs are playing in the snow.", to="de").text == "Zwei Hunde spielen im Schnee."


def test_the_translator_knows_what_it_does_not_know() -> None:
    translator = qkv.load("multi30k")
    assert isinstance(translator, Translator)
    captions = {"en": "A man in a blue shirt is standing on a ladder.", "de": "Ein Junge spielt im Wasser."}
    assert translator.translate(captions["en"], to="de", from_="en").flags == ()
    assert translator.translate(captions["de"], to="en").flags == ()
    assert "unsure" in translator.translate("The president signed the law.", to="de").flags
    same = translator.translate(captions["de"], to="de")
    assert "language" in same.flags and same.language == "de"


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


@pytest.mark.parametrize(
    ("caption", "tones"),
    [
        ("woman firefighter {} skin tone", TONES),
        ("person kneeling {} skin tone", TONES),
        ("여자 소방관 {} 피부", KOREAN_TONES),
    ],
)
def test_emoji_have_the_skin_tone_that_their_captions_say(caption: str, tones: tuple[str, ...]) -> None:
    painter = qkv.load("emoji")
    assert isinstance(painter, Painter)
    drawn = [np.asarray(images[0]) for images in painter.draw([caption.format(tone) for tone in tones], n=1)]
    right = sum(_skin_tone(image) == tone for tone, image in enumerate(drawn))
    assert right >= 4  # of five; the card says how many of 150 that training never saw


def _skin_tone(image: np.ndarray) -> int:
    """The skin tone that most pixels are near to; half the least distance between two of them is near.

    Black clothes, such as a ninja's, are near to the dark one: whoever wears them cannot be judged so.
    """
    distances = np.linalg.norm(image[:, :, None].astype(float) - SKIN, axis=-1)
    near = distances.min(-1) < 27
    return int(np.bincount(distances.argmin(-1)[near], minlength=len(SKIN)).argmax())
