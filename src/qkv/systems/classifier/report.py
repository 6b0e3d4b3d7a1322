"""How good a classifier is on a test set."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.config import nearest
from qkv.data.pictures.labels import tidy
from qkv.data.pictures.sources import Pictures
from qkv.errors import QkvError
from qkv.metrics.classification import ClassScore, calibration_error, class_scores, confusion_matrix, top_k_accuracy
from qkv.systems.classifier.pipeline import Classifier


@dataclass(frozen=True)
class ClassifierReport:
    """Scores of a classifier on a test set; shares from 0 to 1.

    Attributes:
        pictures: how many were classified.
        unreadable: one line for each that could not be read; these count neither way.
        accuracy: share whose most probable class is right.
        top_5_accuracy: share whose class is among the five most probable ones.
        calibration_error: expected calibration error of the probabilities that `classify` gives.
        calibration_error_unscaled: without the model's temperature.
        classes: scores of each class.
        confusion: row: what it is; column: what it was taken for.
    """

    pictures: int
    unreadable: tuple[str, ...]
    accuracy: float
    top_5_accuracy: float
    calibration_error: float
    calibration_error_unscaled: float
    classes: tuple[ClassScore, ...]
    confusion: Int[Tensor, "K K"]

    def to_json(self) -> dict[str, Any]:
        """The fields, as plain lists and numbers."""
        fields = {name: value for name, value in vars(self).items() if name not in ("classes", "confusion")}
        classes = [asdict(score) for score in self.classes]
        return {**fields, "classes": classes, "confusion": self.confusion.tolist()}


def report(
    classifier: Classifier, pictures: Pictures, progress: Callable[[int, int], None] | None = None
) -> ClassifierReport:
    """Classify all pictures of a test set and compare with what they are.

    Its classes are the model's, by name, or by number where they have no names.

    Raises:
        QkvError: a class of the test set is unknown to the model, or no picture can be read.
    """
    there = np.unique(pictures.labels).tolist()
    known = dict(zip(there, _labels_of([pictures.classes[number] for number in there], classifier.labels)))
    rows, labels, unreadable = [], [], []
    how = classifier.preprocessing
    for done, (number, logits) in enumerate(
        classifier.logits(range(len(pictures)), lambda i: pictures.picture(i, how.channels, how.shorter_side)), 1
    ):
        if isinstance(logits, QkvError):
            unreadable.append(str(logits))
        else:
            rows.append(logits)
            labels.append(known[int(pictures.labels[number])])
        if progress is not None:
            progress(done, len(pictures))
    if not rows:
        raise QkvError(f"no picture of the test set can be read; the first: {unreadable[0]}")
    logits = torch.stack(rows)
    return measure(logits, torch.tensor(labels), classifier.labels, classifier.temperature, tuple(unreadable))


def measure(
    logits: Float[Tensor, "N K"],
    labels: Int[Tensor, "N"],
    classes: Sequence[str],
    temperature: float,
    unreadable: tuple[str, ...] = (),
) -> ClassifierReport:
    """Compare logits, before calibration, with the numbers of the classes that pictures are of."""
    confusion = confusion_matrix(logits.argmax(1), labels, len(classes))
    return ClassifierReport(
        pictures=len(labels),
        unreadable=unreadable,
        accuracy=top_k_accuracy(logits, labels),
        top_5_accuracy=top_k_accuracy(logits, labels, 5),
        calibration_error=calibration_error((logits / temperature).softmax(1), labels),
        calibration_error_unscaled=calibration_error(logits.softmax(1), labels),
        classes=tuple(class_scores(confusion, classes)),
        confusion=confusion,
    )


def _labels_of(classes: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The model's number of each class that occurs in a test set."""
    labels = list(map(tidy, labels))
    named = not any(label.isdecimal() for label in labels)
    if named and all(name.isdecimal() and int(name) < len(labels) for name in classes):
        return [int(name) for name in classes]
    for name in classes:
        if name not in labels:
            raise QkvError(f"the test set has a class {name!r} that the model does not know; {nearest(name, labels)}")
    return [labels.index(name) for name in classes]
