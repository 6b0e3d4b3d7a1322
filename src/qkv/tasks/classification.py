"""Training a classifier of pictures: cross-entropy with soft targets, accuracy and calibration, export."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from qkv.data.image_data import ImageBatch, ImageData, ImageDataConfig
from qkv.data.preprocessing import Interpolation, Preprocessing, Resize
from qkv.errors import QkvError
from qkv.explain.confusion import draw_confusion
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
from qkv.tasks.card import classifier_card

HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Everything about training a classifier but the loop.

    Attributes:
        data: what to train and validate on.
        model: its sizes.
        label_smoothing: share of the probability spread over all classes (Szegedy et al. 2016, section 7).
        mean: of each channel, which pictures are shifted by; 0.5 for each if not given.
        std: of each channel, which they are scaled by; 0.5 for each if not given.
        resize: `crop` keeps the proportions and cuts off what is too much, `squash` keeps everything.
        crop: share of the shorter side that is kept by `crop`.
        interpolation: when pictures are resized.
    """

    data: ImageDataConfig
    model: ViTConfig = field(default_factory=ViTConfig)
    label_smoothing: float = 0.1
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: Resize = "crop"
    crop: float = 1.0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        _ = self.preprocessing  # refuses what does not fit together

    @property
    def preprocessing(self) -> Preprocessing:
        """From a picture to what the model reads."""
        half = (0.5,) * self.model.channels
        return Preprocessing(
            size=self.model.image_size,
            channels=self.model.channels,
            mean=self.mean or half,
            std=self.std or half,
            resize=self.resize,
            crop=self.crop,
            interpolation=self.interpolation,
        )


@dataclass(frozen=True)
class _Validation:
    """What the last validation found, for the export of the same weights."""

    temperature: float
    confusion: Int[Tensor, "K K"]


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
        cls, config: ClassificationConfig, folder: Path, seed: int, console: Console, initial: Path | None = None
    ) -> "ClassificationTask":
        """Find the pictures, report on them, and build a model.

        Args:
            config: data and model.
            folder: for what is derived from the data, and `samples.png`, a sheet of augmented pictures.
            seed: of held-out pictures, data order and augmentation.
            console: where the report is shown.
            initial: a model directory whose weights to start from; its head is kept only if it has the same classes.

        Raises:
            QkvError: the data cannot be used, or the initial model is of other sizes.
        """
        data = ImageData.open(config.data, config.preprocessing, folder / "data", seed, console)
        console.print(data.report)
        samples = folder / "samples.png"
        if not samples.exists():
            data.contact_sheet(samples)
        console.print(f"augmented samples: {samples}", highlight=False)
        model = ViT(config.model, len(data.classes))
        console.print(f"{sum(p.numel() for p in model.parameters()):,} parameters", highlight=False)
        if initial is not None:
            console.print(_start_from(model, initial, data.classes), highlight=False)
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


def _start_from(model: ViT, initial: Path, classes: tuple[str, ...]) -> str:
    """Take over the weights of a trained model.

    Returns:
        What became of the head, for the user.
    """
    saved = read_config(initial)
    if not isinstance(saved.get("labels"), list) or not isinstance(saved.get("model"), dict):
        raise QkvError(f"{initial}: config.json lacks labels or model: it is no classifier's")
    known = {name: _comparable(value) for name, value in saved["model"].items()}
    sizes = {name: value for name, value in asdict(model.config).items() if "drop" not in name}
    for name, value in sizes.items():
        if known.get(name, value) != _comparable(value):
            raise QkvError(f"model.{name} is {value!r}, but the initial model's is {known[name]!r}: set it to that")
    weights, before = read_weights(initial), saved["labels"]
    if list(classes) == before:
        set_weights(model, weights, str(initial))
        return f"started from the initial model, its head too: the {len(classes)} classes are the same"
    new = get_weights(model)
    set_weights(model, {**weights, **{name: new[name] for name in HEAD}}, str(initial))
    return f"started from the initial model, but for its head: {len(before)} classes give way to {len(classes)} others"


def _comparable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
