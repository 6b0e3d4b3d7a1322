"""What a model of pictures is measured on: real pictures, their captions, and the pictures that it was trained on."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qkv.data.captions.corpus import CaptionCorpus
from qkv.data.captions.data import CaptionDataConfig
from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionedPictures, CaptionSource
from qkv.data.pictures import readers
from qkv.data.pictures.data import ImageDataConfig
from qkv.data.pictures.listing import PictureList
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.split import PictureSplit
from qkv.errors import QkvError
from qkv.reporter import Reporter


@dataclass(frozen=True)
class Prompt:
    """A caption to draw."""

    text: str
    label: str | None  # the class that it was made of; None if its picture has no class
    picture: int  # the number, in the list, of the first picture that it is the caption of


@dataclass(frozen=True)
class EvaluationData:
    """Pictures to measure a model on."""

    pictures: PictureList
    train: PictureList | None = None  # what the model was trained on, as far as that is known
    prompts: tuple[Prompt, ...] = ()  # the captions of the pictures, each once
    left_out: tuple[str, ...] = ()  # one line for each picture that is left out


def open_pictures(path: Path, cache: Path, reporter: Reporter) -> EvaluationData:
    """All pictures that a path means to `PictureSource.of` or `CaptionSource.of`."""
    if path.suffix.lower() == ".jsonl":
        return EvaluationData(open_source(CaptionSource.of(path), cache, reporter).pictures)
    return EvaluationData(readers.open_pictures(PictureSource.of(path), cache, labelled=False, reporter=reporter))


def open_captioned_pictures(path: Path, cache: Path, reporter: Reporter) -> EvaluationData:
    """All pictures that a path means to `CaptionSource.of`, with their captions, of which there must be one."""
    found = open_source(CaptionSource.of(path), cache, reporter)
    prompts, left_out = _prompts((found, number) for number in range(len(found)))
    if not prompts:
        raise QkvError(f"{path}: no picture has a caption{f'; the first: {left_out[0]}' if left_out else ''}")
    return EvaluationData(found.pictures, prompts=prompts, left_out=left_out)


def split_pictures(config: ImageDataConfig, cache: Path, seed: int, reporter: Reporter) -> EvaluationData:
    """The validation pictures of a recipe's `data`, whatever their classes, and its training pictures."""
    split = PictureSplit.open(config.train, config.validation, config.holdout, cache, seed, reporter, labelled=False)
    return EvaluationData(split.validation, split.train, left_out=(*split.unreadable, *split.notes))


def split_captioned_pictures(config: CaptionDataConfig, cache: Path, seed: int, reporter: Reporter) -> EvaluationData:
    """The validation pictures of a recipe's `data` with their captions, and its training pictures."""
    corpus = CaptionCorpus.open(config.train, config.validation, config.holdout, cache, seed, reporter)
    train, validation = (corpus.pictures.select(part) for part in (corpus.train, corpus.validation))
    prompts, left_out = _prompts((corpus.sources[source], number) for source, number in validation.places.tolist())
    return EvaluationData(validation, train, prompts, (*corpus.left_out, *left_out))


def _prompts(places: Iterable[tuple[CaptionedPictures, int]]) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """The captions of pictures, in order, and what is wrong with those that have none."""
    found: dict[tuple[str, str | None], Prompt] = {}
    left_out: list[str] = []
    for picture, (source, number) in enumerate(places):
        try:
            texts = source.texts(number)
        except QkvError as error:
            left_out.append(str(error))
            continue
        label = source.pictures.classes[source.pictures.labels[number]] if source.source.labelled else None
        for text in filter(None, (text for _, text in texts)):
            found.setdefault((text, label), Prompt(text, label, picture))
    return tuple(found.values()), tuple(left_out)
