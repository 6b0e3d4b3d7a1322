"""Sources of captioned pictures, opened: folders, tables, shards and labelled pictures."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from qkv.config import nearest
from qkv.data.captions.sources import LABEL, Caption, CaptionedPictures, CaptionSource
from qkv.data.captions.tables import open_table, texts_of_cell
from qkv.data.lines import read_lines
from qkv.data.pictures.measure import Measure, measure_pictures
from qkv.data.pictures.shards import Shards
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.errors import QkvError
from qkv.reporter import Reporter

_SAMPLE = 500


def open_source(source: CaptionSource, cache: Path, reporter: Reporter) -> CaptionedPictures:
    """Find the pictures of a source and their captions; they are not read yet.

    Args:
        source: where they are.
        cache: where the index of shards and large tables are kept.
        reporter: is told of the work.

    Raises:
        QkvError: the source is missing, empty, damaged or contradicts itself.
    """
    if source.folder is not None:
        return _of_folder(source, Path(source.folder))
    if source.table is not None:
        return open_table(source, cache)
    return _of_shards(source, cache, reporter) if source.shards is not None else _of_labels(source, cache)


def measure_captions(source: CaptionSource, reporter: Reporter) -> tuple[int, int]:
    """How many pictures a source has, and how many bytes the longest of a few hundred captions.

    Args:
        source: where they are.
        reporter: is told of the work.

    Raises:
        QkvError: the source cannot be used, or none of these captions can be read.
    """
    with tempfile.TemporaryDirectory() as cache:
        pictures = open_source(source, Path(cache), reporter)
        return len(pictures), _longest_caption(pictures)


def measure_captioned_pictures(source: CaptionSource, reporter: Reporter) -> tuple[Measure, int]:
    """What the pictures of a source are like, and how many bytes the longest of a few hundred captions.

    Args:
        source: where they are.
        reporter: is told of the work.

    Raises:
        QkvError: the source cannot be used, or none of these captions or pictures can be read.
    """
    with tempfile.TemporaryDirectory() as cache:
        pictures = open_source(source, Path(cache), reporter)
        longest = _longest_caption(pictures)
        return measure_pictures(pictures.pictures, source.path), longest


def _longest_caption(pictures: CaptionedPictures) -> int:
    """Its bytes, of a few hundred."""
    longest, fault = 0, ""
    for index in np.unique(np.linspace(0, len(pictures) - 1, _SAMPLE).astype(int)).tolist():
        try:
            texts = pictures.texts(index)
        except QkvError as error:
            fault = str(error)
            continue
        longest = max(longest, *(len(text.encode()) for _, text in texts), 0)
    if not longest:
        raise QkvError(f"{pictures.source.path}: no picture has a caption{fault and f'; the last tried: {fault}'}")
    return longest


def _of_folder(source: CaptionSource, folder: Path) -> CaptionedPictures:
    pictures = Pictures.open(PictureSource(folder=str(folder)), labelled=False)
    files = [pictures.name(index) for index in range(len(pictures))]
    texts = [str(Path(file).with_suffix(".txt")) for file in files]

    def captions(index: int) -> list[Caption]:
        return [(source.language, line) for line in read_lines(Path(texts[index])) if line.strip()]

    alone = sorted({os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
                    if name.endswith(".txt")} - set(texts))  # fmt: skip
    notes = [f"{len(alone):,} .txt files have no picture beside them, such as {alone[0]}"] if alone else []
    return CaptionedPictures(source, pictures, captions, [*files, *texts], notes)


def _of_labels(source: CaptionSource, cache: Path) -> CaptionedPictures:
    assert source.labelled is not None
    pictures = Pictures.open(source.labelled, cache)
    by_class: list[list[Caption]] = [[] for _ in pictures.classes]
    for language, templates in source.templates_by_language.items():
        names = source.names_in(language)
        for class_ in names:
            if class_ not in pictures.classes:
                raise QkvError(f"{source.path}: names has {class_!r}, which is no class of it; "
                               f"{nearest(class_, pictures.classes)}")  # fmt: skip
        for captions, class_ in zip(by_class, pictures.classes, strict=True):
            captions += [(language, template.replace(LABEL, names.get(class_, class_))) for template in templates]
    files = {pictures.name(index) for index in range(len(pictures))} if source.labelled.images is None else set()
    labels = pictures.labels.tolist()
    own = list(map(str, source.labelled.paths))
    return CaptionedPictures(source, pictures, lambda index: by_class[labels[index]], [*own, *sorted(files)])


def _of_shards(source: CaptionSource, cache: Path, reporter: Reporter) -> CaptionedPictures:
    shards = Shards.open(source.shards or [], cache, reporter)

    def captions(index: int) -> list[Caption]:
        name = shards.name(index)
        text = shards.read(index, "text") if source.captions is None else None
        if text is not None:
            return [(source.language, line) for line in _decoded(text, name).splitlines() if line.strip()]
        content = shards.read(index, "json")
        sample = {} if content is None else _parsed(content, name)
        cells = [(language, key) for language, keys in source.columns.items() for key in keys if key in sample]
        return [(language, text) for language, key in cells for text in texts_of_cell(sample[key], name)]

    pictures = Pictures.of_shards(shards)
    return CaptionedPictures(source, pictures, captions, list(map(str, pictures.files)))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QkvError(f"{name}: its caption is not UTF-8 (byte {error.start} of it); convert it to UTF-8") from None


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    try:
        sample = json.loads(_decoded(content, name))
    except (ValueError, RecursionError) as error:
        raise QkvError(f"{name}: its .json is not JSON ({error}); write one object") from None
    if not isinstance(sample, dict):
        raise QkvError(f'{name}: its .json holds no object; write {{"caption": "..."}}')
    return sample
