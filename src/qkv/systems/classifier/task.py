"""Training a classifier of pictures: cross-entropy with soft targets, accuracy and calibration, export."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qkv.data.pictures.data import ImageBatch, ImageData, ImageDataConfig
from qkv.data.pictures.preprocessing import Interpolation, Preprocessing, Resize
from qkv.figures.confusion import draw_confusion
from qkv.figures.gallery import draw_samples
from qkv.files import atomic_file
from qkv.metrics.classification import fit_temperature
from qkv.model_directory import CARD, read_saved, read_weights, save_model
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import count, get_weights, set_weights
from qkv.runtime.engine import Engine
from qkv.runtime.memory import new_model
from qkv.systems.classifier.card import card
from qkv.systems.classifier.pipeline import Classifier
from qkv.systems.classifier.report import ClassifierReport, measure
from qkv.systems.classifier.saved import Saved
from qkv.systems.initial import refuse_other_sizes
from qkv.train.task import Setting, Task

HEAD = ("head.weight", "head.bias")
_SCALES = ("mean", "std", "resize", "crop", "interpolation")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Everything about training a classifier but the loop.

    The last five default to those of the model that training starts from. With new weights, mean and std are 0.5 for
    each channel, and the others have the defaults of `Preprocessing`.
    """

    data: ImageDataConfig  # what to train and validate on
    model: ViTConfig = field(default_factory=ViTConfig)  # its sizes
    label_smoothing: float = 0.1  # share of the probability spread over all classes (Szegedy et al. 2016, section 7)
    mean: tuple[float, ...] | None = None  # of each channel, which pictures are shifted by
    std: tuple[float, ...] | None = None  # of each channel, which they are scaled by
    resize: Resize | None = None  # `crop` keeps the proportions and cuts off what is too much, `squash` keeps all
    crop: float | None = None  # share of the shorter side that is kept by `crop`
    interpolation: Interpolation | None = None  # when pictures are resized

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        _ = self.preprocessing  # refuses what does not fit together

    @property
    def preprocessing(self) -> Preprocessing:
        """From a picture to what the model reads."""
        half = (0.5,) * self.model.channels
        given = {"mean": half, "std": half, **self.given_preprocessing}
        return Preprocessing(size=self.model.image_size, channels=self.model.channels, **given)

    @property
    def given_preprocessing(self) -> dict[str, Any]:
        """What is said of it."""
        return {name: value for name in _SCALES if (value := getattr(self, name)) is not None}


class ClassifierTask(Task[ViT, ImageData]):
    """A Vision Transformer with its pictures."""

    Config = ClassifierConfig
    unit = "images"
    score = "accuracy"

    def __init__(self, config: ClassifierConfig, data: ImageData, model: ViT) -> None:
        self.config, self.data, self.model = config, data, model
        self._validation: tuple[ClassifierReport, float] | None = None  # the last one, and the temperature it found

    @classmethod
    def create(cls, config: ClassifierConfig, setting: Setting) -> "ClassifierTask":
        """Find the pictures, report on them and draw some of them augmented, and build a model.

        The head of the initial model is kept only if it has the same classes.
        """
        say = setting.reporter.say
        if setting.initial is not None:
            config = _as_before(config, setting.initial, say)
        place, samples = setting.folder / "data", setting.folder / "samples.png"
        data = ImageData.open(config.data, config.preprocessing, place, setting.seed, setting.reporter)
        say(data.report)
        if not samples.exists():
            with atomic_file(samples) as temporary:
                temporary.write_bytes(draw_samples(*data.samples()))
        say(f"augmented samples: {samples}")
        model = new_model(lambda: ViT(config.model, len(data.classes)))
        say(f"{count(get_weights(model)):,} parameters")
        if setting.initial is not None:
            _start_from(setting.initial, model, data.classes, say)
        return cls(config, data, model)

    def denominators(self, batch: ImageBatch) -> dict[str, float]:
        """Pictures."""
        return {"images": float(len(batch.images))}

    def losses(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Cross-entropy with soft targets, summed over pictures."""
        smoothing = self.config.label_smoothing
        targets = batch.targets * (1 - smoothing) + smoothing / batch.targets.shape[1]
        return {"images": _cross_entropy(self.model(batch.images), targets)}

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy, top-1 and top-5 accuracy in percent, and calibration before and after temperature scaling."""
        classifier = Classifier(self._saved(temperature=1.0), Engine(self.model))
        found = [(classifier.run(batch.images), batch.targets) for batch in self.data.validation_batches()]
        logits, targets = (torch.cat(part) for part in zip(*found, strict=True))
        labels = targets.argmax(dim=1)
        temperature = fit_temperature(logits, labels)
        report = measure(logits, labels, self.data.classes, temperature)
        self._validation = report, temperature
        metrics = {
            "loss": _cross_entropy(logits, targets).item() / len(labels),
            "accuracy": 100 * report.accuracy,
            "calibration_error": report.calibration_error_unscaled,
            "calibration_error_scaled": report.calibration_error,
        }
        return metrics | ({"top_5_accuracy": 100 * report.top_5_accuracy} if len(self.data.classes) > 5 else {})

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a classifier's model directory; its temperature is that of the last validation."""
        assert self._validation is not None, "the trainer validates before it exports"
        report, temperature = self._validation
        counted = {"parameters": count(weights), "examples": f"{self.data.n_train:,} pictures"}
        text = card(self.config.model, report, {**facts, **counted}, [source.path for source in self.config.data.train])
        files = {CARD: text.encode(), "confusion.png": draw_confusion(report.confusion, self.data.classes)}
        save_model(folder, self._saved(temperature), weights, files)

    def _saved(self, temperature: float) -> Saved:
        model, how = self.config.model, self.config.preprocessing
        return Saved(model=model, labels=self.data.classes, preprocessing=how, temperature=temperature)


def _as_before(config: ClassifierConfig, initial: Path, say: Callable[[str], None]) -> ClassifierConfig:
    """The configuration, with what it leaves open of the preprocessing as it was for the initial model."""
    saved = read_saved(initial, Saved)
    refuse_other_sizes(config.model, saved.model)
    before, given = {name: getattr(saved.preprocessing, name) for name in _SCALES}, config.given_preprocessing
    others = [f"{name} {value} instead of {before[name]}" for name, value in given.items() if value != before[name]]
    said = f"not as for the initial model, which has to get used to it: {', '.join(others)}"
    say(f"pictures are prepared {said if others else 'as for the initial model'}")
    return replace(config, **{**before, **given})


def _start_from(initial: Path, model: ViT, classes: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Let a model begin with the initial one's weights; with its head too, if the classes are the same."""
    weights, known = read_weights(initial), read_saved(initial, Saved).labels
    new = {} if classes == known else {name: weight for name, weight in get_weights(model).items() if name in HEAD}
    set_weights(model, {**weights, **new}, str(initial))
    if new:
        gone = f"{len(known)} classes give way to {len(classes)} others"
        say(f"started from the initial model, but for its head: {gone}")
    else:
        say(f"started from the initial model, its head too: the {len(classes)} classes are the same")


def _cross_entropy(logits: Float[Tensor, "B K"], targets: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    return -(targets * logits.float().log_softmax(dim=1)).sum()


TASK = ClassifierTask
