"""How good a painter is: whether its pictures show what captions say, how varied they are, and whether they are copies.

What is measured of drawn pictures is measured of real ones beside it, and of what the codes leave of these, since no
drawing can be better.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from qkv.data.captions.evaluation import EvaluationData, Prompt
from qkv.data.pictures.listing import EvenSample, PictureBatch, PictureList
from qkv.data.pictures.preprocessing import to_pixels
from qkv.errors import QkvError
from qkv.metrics.distances import mean_pairwise_distance, nearest_distances
from qkv.metrics.fid import frechet_distance
from qkv.systems.codes.report import CodebookReport, CodesReport
from qkv.systems.codes.report import report as reconstruct
from qkv.systems.judge import ClassReader, named_label
from qkv.systems.painter.pipeline import DrawingOptions, Painter

LEAST_FOR_FID = 2000
"""Pictures; with fewer, the covariances of the features say more of the sample than of the painter."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many pictures of it are done, and how many there are."""


@dataclass(frozen=True)
class ClassFidelity:
    """Of the pictures that were to show a class, the share (from 0 to 1) in which the judge reads it."""

    label: str
    share: float
    pictures: int


@dataclass(frozen=True)
class Fidelity:
    """How often a classifier reads from a picture what its caption says: of all pictures, from 0 to 1, and by class.

    Attributes:
        share: of all pictures, from 0 to 1.
        classes: of those of each class that a caption names.
    """

    share: float
    classes: tuple[ClassFidelity, ...]


@dataclass(frozen=True)
class Distances:
    """Of pictures to their nearest training picture: root mean squares of differences between pixels, from 0 to 1."""

    mean: float
    median: float
    least: float

    @classmethod
    def of(cls, distances: Float[Tensor, "N"]) -> "Distances":
        """Of one picture at least."""
        return cls(distances.mean().item(), distances.median().item(), distances.min().item())


@dataclass(frozen=True)
class NearestReport:
    """How near pictures are to training pictures; a painter that knows these by heart is nearer than real ones are.

    What to compare `drawn` with is `reconstructed`, since whatever is a little blurred is nearer to everything.

    Attributes:
        train: number of training pictures.
        drawn: from drawn pictures.
        real: of as many pictures that were not trained on, or of all there are.
        reconstructed: of what the codes leave of these.
    """

    train: int
    drawn: Distances
    real: Distances
    reconstructed: Distances


@dataclass(frozen=True)
class PainterReport:
    """Scores of a painter.

    Attributes:
        prompts: the captions.
        images: the pictures drawn for each.
        left_out: one line for each picture or caption that is left out.
        codebook: of the codes of drawn pictures.
        reconstruction: of the real pictures.
        fidelity: None without a judge.
        diversity: mean distance of two pictures of a caption, measured as in `Distances`; None for one each.
        nearest: None if the training pictures are unknown.
        fid: Fréchet distance of drawn from real pictures over the judge's features.
        why_no_fid: empty if there is one.
    """

    prompts: tuple[Prompt, ...]
    images: list[list[Image.Image]]
    left_out: tuple[str, ...]
    codebook: CodebookReport
    reconstruction: CodesReport
    fidelity: Fidelity | None
    diversity: float | None
    nearest: NearestReport | None
    fid: float | None
    why_no_fid: str

    @property
    def drawn(self) -> int:
        """Number of pictures drawn."""
        return sum(map(len, self.images))

    def to_json(self) -> dict[str, Any]:
        """The fields but for the pictures themselves, as plain lists and numbers."""
        fields = {name: value for name, value in vars(self).items() if name not in ("prompts", "images")}
        for name in ("codebook", "fidelity", "nearest"):
            fields[name] = fields[name] and asdict(fields[name])
        fields["reconstruction"] = self.reconstruction.to_json()
        return {"captions": len(self.prompts), "pictures": self.drawn, **fields}


def report(
    painter: Painter,
    data: EvaluationData,
    *,
    judge: ClassReader | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[DrawingOptions],
) -> PainterReport:
    """Draw pictures for captions and measure them.

    The judge reads classes from pictures. The class of a caption is that of its picture, if that has one; else it is
    the one label of the judge that the caption names (`named_label`). With a limit no more than so many captions are
    drawn, chosen by chance, but always the same. The options are those of `Painter.drawings`.

    Raises:
        QkvError: there is no caption that the painter can read, the class of a caption is not known to the judge, no
            picture can be read, or options contradict one another.
    """
    tell: Progress = progress or (lambda *_: None)
    prompts, left_out = _readable(data.prompts, painter)
    prompts = _some(prompts, limit or len(prompts))
    wanted = [] if judge is None else [_label(prompt, judge.labels) for prompt in prompts]
    each = painter.model.config.image_length
    drawings = painter.drawings(
        [prompt.text for prompt in prompts],
        **options,
        progress=lambda done, total: tell("drawing", done // each, total // each),
    )
    images = [[drawing.image for drawing in row] for row in drawings]
    codes = torch.cat([drawing.codes for row in drawings for drawing in row])
    drawn = torch.stack([to_pixels(image) for row in images for image in row])
    why_no_fid = _why_no_fid(judge, len(drawn), len(data.pictures))
    real = _Real.measure(painter, data, judge if not why_no_fid else None, len(drawn), tell)
    why_no_fid = why_no_fid or _why_no_fid(judge, len(drawn), real.codes.pictures)  # some may be unreadable
    return PainterReport(
        prompts=prompts,
        images=images,
        left_out=(*data.left_out, *left_out),
        codebook=CodebookReport.of(codes.bincount(minlength=painter.codes.model.config.codes)),
        reconstruction=real.codes,
        fidelity=None if judge is None else _fidelity(judge, wanted, images, tell),
        diversity=_diversity(drawn, len(images[0])),
        nearest=None if data.train is None else _nearest(painter, drawn, real, data.train, tell),
        fid=None if judge is None or why_no_fid else frechet_distance(_features(judge, drawn, tell), real.features),
        why_no_fid=why_no_fid,
    )


def _readable(prompts: Sequence[Prompt], painter: Painter) -> tuple[list[Prompt], list[str]]:
    """Those of the captions that the painter can read, one at least, and a line for each other one."""
    good, left_out, most = list[Prompt](), list[str](), painter.model.config.text_length
    for prompt, row in zip(prompts, painter.tokenizer.encode([prompt.text for prompt in prompts])):
        if 0 < len(row) <= most:
            good.append(prompt)
        else:
            said = f"the caption {prompt.text[:40]!r} has {len(row):,} tokens, the model reads 1 to {most}"
            left_out.append(said)
    if not good:
        raise QkvError(f"there is no caption to draw{f'; the first: {left_out[0]}' if left_out else ''}")
    return good, left_out


def _some(prompts: Sequence[Prompt], count: int) -> tuple[Prompt, ...]:
    """So many of them, always the same, in their order; not evenly spaced, since captions may repeat in a cycle."""
    chosen = np.random.default_rng(0).permutation(len(prompts))[:count]
    return tuple(prompts[number] for number in sorted(chosen.tolist()))


def _label(prompt: Prompt, labels: Sequence[str]) -> int:
    """The number of the judge's label for a caption."""
    if prompt.label is not None and prompt.label in labels:
        return labels.index(prompt.label)
    return named_label(prompt.text if prompt.label is None else prompt.label, labels)


def _fidelity(
    judge: ClassReader, wanted: Sequence[int], images: Sequence[Sequence[Image.Image]], tell: Progress
) -> Fidelity:
    flat = [image for row in images for image in row]
    best = judge.classify(flat, top_k=1, progress=partial(tell, "judging"))
    right: dict[int, list[bool]] = {label: [] for label in sorted(set(wanted))}
    of_each = [label for label, row in zip(wanted, images) for _ in row]
    for label, (read,) in zip(of_each, best, strict=True):
        right[label].append(read.label == judge.labels[label])
    classes = [ClassFidelity(judge.labels[label], sum(row) / len(row), len(row)) for label, row in right.items()]
    return Fidelity(sum(map(sum, right.values())) / len(flat), tuple(classes))


@dataclass(frozen=True)
class _Real:
    """What is found out about real pictures."""

    codes: CodesReport  # how they come back from their codes
    sample: UInt8[Tensor, "S C H W"]  # at most as many as were drawn, if they are to be compared with training pictures
    decoded: UInt8[Tensor, "S C H W"]  # what their codes leave of these
    features: Float[Tensor, "M D"]  # the judge's, of all of them, if these are needed

    @classmethod
    def measure(
        cls, painter: Painter, data: EvaluationData, judge: ClassReader | None, drawn: int, tell: Progress
    ) -> "_Real":
        chosen = EvenSample(len(data.pictures), 0 if data.train is None else drawn)
        sample, decoded, features = list[Tensor](), list[Tensor](), list[Tensor]()

        def look(batch: PictureBatch, reconstructed: Float[Tensor, "B C H W"]) -> None:
            rows = chosen.rows(batch.numbers)
            sample.append(batch.pixels[rows])
            decoded.append((reconstructed[rows] * 255).round().byte())
            if judge is not None:
                features.append(judge.features(_arrays(batch.pixels)))

        codes = reconstruct(painter.codes, data.pictures, partial(tell, "real pictures"), look)
        found = torch.cat(features) if features else torch.empty(0, 0)
        return cls(codes, torch.cat(sample), torch.cat(decoded), found)


def _diversity(drawn: UInt8[Tensor, "D C H W"], each: int) -> float | None:
    """The mean over captions of the mean distance of two of their pictures, `each` of which follow one another."""
    if each < 2:
        return None
    means = [mean_pairwise_distance(part) for part in drawn.split(each)]
    return sum(means) / len(means)


def _nearest(
    painter: Painter, drawn: UInt8[Tensor, "D C H W"], real: _Real, train: PictureList, tell: Progress
) -> NearestReport | None:
    done = read = 0

    def pixels(batch: Any) -> UInt8[Tensor, "B C H W"]:
        nonlocal done, read
        done, read = done + len(batch.numbers) + len(batch.unreadable), read + len(batch.numbers)
        tell("training pictures", done, len(train))
        return batch.pixels

    parts = drawn, real.sample, real.decoded
    found = nearest_distances(torch.cat(parts), map(pixels, train.batches(painter.codes.preprocessing)))
    if not read:
        raise QkvError("no training picture can be read")
    return NearestReport(read, *map(Distances.of, found.split([len(part) for part in parts])))


def _why_no_fid(judge: ClassReader | None, drawn: int, real: int) -> str:
    if judge is None:
        return "it needs a judge, whose features it is taken over"
    if min(drawn, real) < LEAST_FOR_FID:
        return f"it needs {LEAST_FOR_FID:,} pictures: there are {drawn:,} drawn and {real:,} real ones"
    return ""


def _features(judge: ClassReader, drawn: UInt8[Tensor, "D C H W"], tell: Progress) -> Float[Tensor, "D F"]:
    features, done = [], 0
    for part in drawn.split(64):
        features.append(judge.features(_arrays(part)))
        done += len(part)
        tell("features", done, len(drawn))
    return torch.cat(features)


def _arrays(pixels: UInt8[Tensor, "B C H W"]) -> list[Any]:
    """Each picture as an array [H, W, C]."""
    return list(pixels.permute(0, 2, 3, 1).numpy())
