"""Where a classifier looks on a picture."""

from pathlib import Path

from qkv.data.pictures.decode import open_picture
from qkv.explain.overlay import draw_patches
from qkv.explain.patches import PatchAttention, record_patches
from qkv.systems.classifier.pipeline import Classifier, Prediction


def explain(
    classifier: Classifier, picture: Path, out: Path, layer: int | None = None
) -> tuple[list[Prediction], PatchAttention]:
    """Classify a picture and draw where the model looks: attention rollout, and every head of one layer.

    The layer counts from 1; the last if not given. Gives the five most probable classes, and the maps as data.

    Raises:
        QkvError: the picture cannot be read, there is no such layer, or the file cannot be written.
    """
    how = classifier.preprocessing
    shown = how.fit(open_picture(picture, how.channels, how.shorter_side))
    attention = record_patches(classifier.model, how(shown))
    predictions = classifier.classify(picture)
    best = predictions[0]
    draw_patches(shown, attention, out, layer=layer, heading=f"{picture.name}: {best.label} {best.probability:.1%}")
    return predictions, attention
