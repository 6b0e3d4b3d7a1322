"""Training a classifier of pictures: cross-entropy with soft targets, accuracy and calibration, export."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.config import parse
from qkv.data.pictures.data import ImageBatch, ImageData, ImageDataConfig
from qkv.data.pictures.preprocessing import Interpolation, Preprocessing, Resize
from qkv.errors import QkvError
from qkv.figures.confusion import draw_confusion
from qkv.figures.gallery import draw_samples
from qkv.files import atomic_file
from qkv.metrics.classification import (
    calibration_error,
    class_scores,
    confusion_matrix,
    fit_temperature,
    top_k_accuracy,
)
from qkv.model_directory import read_config, read_weights, save_model
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import get_weights, set_weights
from qkv.reporter import Reporter
from qkv.systems.card import classifier_card
from qkv.systems.initial import refuse_other_sizes

HEAD = ("head.weight", "head.bias")
_SCALES = ("mean", "std", "resize", "crop", "interpolation")


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Everything about training a classifier but the loop.

    Attributes:
        data: what to train and validate on.
        model: its sizes.
        label_smoothing: share of the probability spread over all classes (Szegedy et al. 2016, section 7).
        mean: of each channel, which pictures are shifted by.
        std: of each channel, which they are scaled by.
        resize: `crop` keeps the proportions and cuts off what is too much, `squash` keeps everything.
        crop: share of the shorter side that is kept by `crop`.
        interpolation: when pictures are resized.

    What of the last five is not given is that of the model that training starts from; if it starts from new weights,
    mean and std are 0.5 for each channel, and the rest as `Preprocessing` has it.
    """

    data: ImageDataConfig
    model: ViTConfig = field(default_factory=ViTConfig)
    label_smoothing: float = 0.1
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: Resize | None = None
    crop: float | None = None
    interpolation: Interpolation | None = None

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
        values = {name: getattr(self, name) for name in _SCALES}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class _Validation:
    """What the last validation found, for the export of the same weights."""

    temperature: float
    confusion: Int[Tensor, "K K"]


@dataclass(frozen=True)
class _Initial:
    """A trained model to start from.

    Attributes:
        folder: its model directory.
        labels: its classes.
        preprocessing: what its pictures were prepared with.
    """

    folder: Path
    labels: list[str]
    preprocessing: Preprocessing

    @classmethod
    def read(cls, folder: Path, sizes: ViTConfig) -> "_Initial":
        """Its configuration.

        Raises:
            QkvError: it is no classifier's, or of other sizes.
        """
        saved = read_config(folder)
        labels, model, preprocessing = (saved.get(name) for name in ("labels", "model", "preprocessing"))
        if not isinstance(labels, list) or not isinstance(model, dict) or not isinstance(preprocessing, dict):
            raise QkvError(f"{folder}: config.json lacks labels, model or preprocessing: it is no classifier's")
        asked, known = ({f"model.{name}": value for name, value in one.items()} for one in (asdict(sizes), model))
        refuse_other_sizes(asked, known)
        return cls(folder, labels, parse(Preprocessing, preprocessing, f"{folder / 'config.json'}: preprocessing"))

    def complete(self, config: ClassificationConfig) -> tuple[ClassificationConfig, str]:
        """The configuration, with what it leaves open of the preprocessing as it was for the initial model.

        Returns:
            That, and in what else the two differ, for the user.
        """
        before = {name: getattr(self.preprocessing, name) for name in _SCALES}
        given = config.given_preprocessing
        others = [f"{name} {value} instead of {before[name]}" for name, value in given.items() if value != before[name]]
        said = f"not as for the initial model, which has to get used to it: {', '.join(others)}"
        completed = replace(config, **{**before, **given})
        return completed, f"pictures are prepared {said if others else 'as for the initial model'}"

    def give_weights(self, model: ViT, classes: tuple[str, ...]) -> str:
        """Let a model begin with these weights.

        Returns:
            What became of the head, for the user.
        """
        weights, source = read_weights(self.folder), str(self.folder)
        if list(classes) == self.labels:
            set_weights(model, weights, source)
            return f"started from the initial model, its head too: the {len(classes)} classes are the same"
        new = get_weights(model)
        set_weights(model, {**weights, **{name: new[name] for name in HEAD}}, source)
        return (
            f"started from the initial model, but for its head: {len(self.labels)} classes give way to "
            f"{len(classes)} others"
        )


class ClassificationTask:
    """A Vision Transformer with its pictures."""

    Config = ClassificationConfig
    unit = "images"
    score = "accuracy"

    def __init__(self, config: ClassificationConfig, data: ImageData, model: ViT) -> None:
        self.config, self.data, self.model = config, data, model
        self._validation: _Validation | None = None

    @classmethod
    def create(
        cls, config: ClassificationConfig, folder: Path, seed: int, reporter: Reporter, initial: Path | None = None
    ) -> "ClassificationTask":
        """Find the pictures, report on them, and build a model.

        Args:
            config: data and model.
            folder: for what is derived from the data, and `samples.png`, a sheet of augmented pictures.
            seed: of held-out pictures, data order and augmentation.
            reporter: is told of the work, and of what the data is like.
            initial: a model directory whose weights to start from; its head is kept only if it has the same classes.

        Raises:
            QkvError: the data cannot be used, or the initial model is of other sizes.
        """
        start = None if initial is None else _Initial.read(initial, config.model)
        if start is not None:
            config, said = start.complete(config)
            reporter.say(said)
        data = ImageData.open(config.data, config.preprocessing, folder / "data", seed, reporter)
        reporter.say(data.report)
        samples = folder / "samples.png"
        if not samples.exists():
            with atomic_file(samples) as temporary:
                temporary.write_bytes(draw_samples(*data.samples()))
        reporter.say(f"augmented samples: {samples}")
        model = ViT(config.model, len(data.classes))
        reporter.say(f"{sum(p.numel() for p in model.parameters()):,} parameters")
        if start is not None:
            reporter.say(start.give_weights(model, data.classes))
        return cls(config, data, model)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return self.data.n_batches(epoch)

    def batch(self, epoch: int, index: int) -> ImageBatch:
        """One batch, its augmentation drawn from (seed, epoch, index)."""
        return self.data.batch(epoch, index)

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
        logits, targets = self._predict()
        labels = targets.argmax(dim=1)
        temperature = fit_temperature(logits, labels)
        metrics = {
            "loss": _cross_entropy(logits, targets).item() / len(labels),
            "accuracy": 100 * top_k_accuracy(logits, labels),
            "calibration_error": calibration_error(logits.softmax(1), labels),
            "calibration_error_scaled": calibration_error((logits / temperature).softmax(1), labels),
        }
        if logits.shape[1] > 5:
            metrics["top_5_accuracy"] = 100 * top_k_accuracy(logits, labels, 5)
        confusion = confusion_matrix(logits.argmax(1), labels, logits.shape[1])
        self._validation = _Validation(temperature, confusion)
        return metrics

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a classifier's model directory; its temperature is that of the last validation."""
        assert self._validation is not None, "the trainer validates before it exports"
        config = {
            "model": asdict(self.config.model),
            "labels": list(self.data.classes),
            "preprocessing": asdict(self.config.preprocessing),
            "temperature": self._validation.temperature,
        }
        confusion = self._validation.confusion
        scores = class_scores(confusion, self.data.classes)
        parameters = sum(weight.numel() for weight in weights.values())
        card = classifier_card(self.config, scores, facts, parameters, self.data.n_train)
        files = {"README.md": card.encode(), "confusion.png": draw_confusion(confusion, self.data.classes)}
        save_model(folder, system="vit", config=config, weights=weights, files=files)

    def _predict(self) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"]]:
        device = self.model.head.weight.device
        outputs = [
            (self.model(batch.images.to(device)).float().cpu(), batch.targets)
            for batch in self.data.validation_batches()
        ]
        return torch.cat([logits for logits, _ in outputs]), torch.cat([targets for _, targets in outputs])


def _cross_entropy(logits: Float[Tensor, "B K"], targets: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    return -(targets * logits.float().log_softmax(dim=1)).sum()
