"""A picture to the classes it may be of: preprocessing, model and calibration behind `classify`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from qkv.data.pictures.decode import Picture, open_picture
from qkv.errors import QkvError
from qkv.model_directory import read_saved, read_weights
from qkv.models.vit import ViT
from qkv.models.weights import build
from qkv.runtime.device import Device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.arguments import checked, pictures, text
from qkv.systems.classifier.saved import Saved
from qkv.systems.judge import named_label
from qkv.systems.showing import ShownModel, table

T = TypeVar("T")
R = TypeVar("R")

_BATCH = 32
_READERS = 4  # threads that decode pictures while the model computes; decoding releases Python's lock


@dataclass(frozen=True)
class Prediction:
    """A class that a picture may be of, with the probability that it is, calibrated on the model's validation.

    Attributes:
        label: its name.
        probability: that it is, calibrated on the validation pictures of the model.
    """

    label: str
    probability: float


class Classification(list[Prediction]):
    """What a picture may be of, best first; a notebook shows it as a table."""

    def _repr_html_(self) -> str:
        return table([(one.label, f"{one.probability:.1%}") for one in self])


class Classifier(ShownModel[ViT]):
    """A trained classifier of pictures.

    Attributes:
        model: the Vision Transformer.
        labels: the classes, in the order of the model's outputs.
        preprocessing: from a picture to what the model reads.
        temperature: what logits are divided by (Guo et al. 2017).
        batch_size: pictures that are read and classified at once.
    """

    batch_size = _BATCH

    def __init__(self, saved: Saved, engine: Engine[ViT]) -> None:
        self.knows = saved.knows
        self.labels, self.preprocessing, self.temperature = saved.labels, saved.preprocessing, saved.temperature
        self.model, self._engine = engine.model, engine

    @classmethod
    @checked
    def load(cls, folder: Path, device: Device | None = None) -> "Classifier":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        model = build(lambda: ViT(saved.model, len(saved.labels)), read_weights(folder), str(folder))
        return cls(saved, open_engine(model, device, kind="fused"))

    def metadata(self) -> dict[str, object]:
        """What another program needs to know beside the logits, as JSON values."""
        how, labels = asdict(self.preprocessing), list(self.labels)
        return {"system": Saved.system, "labels": labels, "preprocessing": how, "temperature": self.temperature}

    @overload
    def classify(
        self, images: Picture, top_k: int = 5, progress: Callable[[int, int], None] | None = None
    ) -> Classification: ...

    @overload
    def classify(
        self, images: Iterable[Picture], top_k: int = 5, progress: Callable[[int, int], None] | None = None
    ) -> list[Classification]: ...

    @checked
    def classify(
        self, images: Picture | Iterable[Picture], top_k: int = 5, progress: Callable[[int, int], None] | None = None
    ) -> Classification | list[Classification]:
        """The most probable classes, best first.

        Args:
            images: a picture, or several, such as a list or a column of paths, which then give a list of lists.
            top_k: how many classes to give.
            progress: called after each batch with the pictures done, and how many there are.

        Raises:
            QkvError: a picture is missing, is none or cannot be read; the message names it.
        """
        given, single = pictures(images)
        found: list[Classification] = []
        for answer in _good(self.stream(given, top_k)):
            found.append(answer)
            if progress is not None:
                progress(len(found), len(given))
        return found[0] if single else found

    def judge(self, caption: str, images: Sequence[Image.Image]) -> list[float]:
        """The probability, for each picture, of the label that a caption names (`named_label`), as `Judge` says."""
        label = named_label(text(caption, "caption"), self.labels)
        return [self._probabilities(logits)[label].item() for logits in _good(self.logits(images, self._opened))]

    @checked
    def stream(self, images: Iterable[Picture], top_k: int = 5) -> Iterator[tuple[Picture, Classification | QkvError]]:
        """Each picture with its classes, or with what is wrong with it, in order and as soon as its batch is done."""
        if top_k < 1:
            raise QkvError(f"top_k must be at least 1, not {top_k}")
        whole = (_loaded(picture) for picture in images)
        answers = self.logits(whole, self._opened)
        return ((one, found if isinstance(found, QkvError) else self._best(found, top_k)) for one, found in answers)

    def logits(
        self, items: Iterable[T], read: Callable[[T], Image.Image]
    ) -> Iterator[tuple[T, Float[Tensor, "K"] | QkvError]]:
        """Each item with the logits of its picture, before calibration, or with what is wrong with it; in order.

        `read` makes the picture of an item; it is called in threads, a batch ahead of the model.
        """

        def prepare(item: T) -> Tensor | QkvError:
            try:
                return self.preprocessing(read(item))
            except QkvError as error:
                return error

        for batch, tensors in _ahead(items, prepare, self.batch_size):
            good = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
            rows = iter(self.run(torch.stack(good)) if good else ())
            for item, tensor in zip(batch, tensors, strict=True):
                yield item, tensor if isinstance(tensor, QkvError) else next(rows)

    def run(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Logits, before calibration, of pictures that are preprocessed already; a QkvError where they are none."""
        logits = self._engine.forward(images).float().cpu()
        if not logits.isfinite().all():
            raise QkvError("the model's logits are not numbers (NaN): its weights are damaged, or it overflows")
        return logits

    @checked
    def features(self, images: Iterable[Picture]) -> Float[Tensor, "N D"]:
        """What the classes are read from: a vector for each picture (`ViT.features`); errors as of `classify`."""
        found, (given, _) = [torch.empty(0, self.model.config.d_model)], pictures(images)
        for start in range(0, len(given), self.batch_size):
            pixels = [self.preprocessing(self._opened(image)) for image in given[start : start + self.batch_size]]
            found.append(self._engine.call(self.model.features, torch.stack(pixels)).float().cpu())
        return torch.cat(found)

    def _opened(self, picture: Picture) -> Image.Image:
        return open_picture(picture, self.preprocessing.channels, self.preprocessing.shorter_side)

    def _probabilities(self, logits: Float[Tensor, "K"]) -> Float[Tensor, "K"]:
        return (logits / self.temperature).softmax(dim=0)

    def _best(self, logits: Float[Tensor, "K"], top_k: int) -> Classification:
        best = self._probabilities(logits).topk(min(top_k, len(self.labels)))
        return Classification(
            Prediction(self.labels[label], probability)
            for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )


def _good(answers: Iterable[tuple[Any, R | QkvError]]) -> Iterator[R]:
    """What there is for each item; the first error is raised."""
    for _, answer in answers:
        if isinstance(answer, QkvError):
            raise answer
        yield answer


def _loaded(picture: Picture) -> Picture:
    """The picture, decoded if it is one of Pillow's that reads its file on first use, which threads must not share."""
    if isinstance(picture, Image.Image):
        with suppress(Exception):  # what is wrong with it, `open_picture` says
            picture.load()
    return picture


def _ahead(items: Iterable[T], prepare: Callable[[T], R], size: int) -> Iterator[tuple[list[T], list[R]]]:
    """Batches of so many items with what is prepared of them, the next one prepared while the caller works on one."""
    source = iter(items)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="pictures") as pool:

        def start() -> tuple[list[T], list[Future[R]]]:
            batch = list(islice(source, size))
            return batch, [pool.submit(prepare, item) for item in batch]

        batch, futures = start()
        while batch:
            upcoming = start()
            yield batch, [future.result() for future in futures]
            batch, futures = upcoming


Pipeline = Classifier
