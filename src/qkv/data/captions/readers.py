"""Sources of captioned pictures, opened: folders, tables, shards and labelled pictures."""

import json
from pathlib import Path
from typing import Any

from qkv.config import nearest
from qkv.data.captions.sources import LABEL, Caption, CaptionedPictures, CaptionSource
from qkv.data.folders import look_inside
from qkv.data.lines import read_lines, split_lines
from qkv.data.pictures.labels import Labels
from qkv.data.pictures.readers import of_rows, of_shards, open_pictures
from qkv.data.pictures.shards import Shards
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.tables import Table
from qkv.errors import QkvError
from qkv.reporter import Reporter


def open_source(source: CaptionSource, cache: Path, reporter: Reporter) -> CaptionedPictures:
    """Find the pictures of a source and their captions, not read yet; `cache` keeps large tables, indexes of shards."""
    if source.folder is not None:
        return _of_folder(source, Path(source.folder))
    if source.table is not None:
        return _of_table(source, Path(source.table), cache)
    return _of_shards(source, cache, reporter) if source.shards is not None else _of_labels(source, cache)


def _of_folder(source: CaptionSource, folder: Path) -> CaptionedPictures:
    pictures = open_pictures(PictureSource(folder=str(folder)), labelled=False)
    texts = [str(Path(file).with_suffix(".txt")) for file in pictures.files]

    def captions(index: int) -> list[Caption]:
        return [(source.language, line) for line in read_lines(Path(texts[index])) if line.strip()]

    alone = sorted({str(file) for file in look_inside(folder).files if file.suffix == ".txt"} - set(texts))
    notes = [f"{len(alone):,} .txt files have no picture beside them, such as {alone[0]}"] if alone else []
    return CaptionedPictures(source, pictures, captions, texts, [*pictures.notes, *notes])


def _of_table(source: CaptionSource, path: Path, cache: Path) -> CaptionedPictures:
    places = [(language, column) for language, columns in source.columns.items() for column in columns]
    columns, image = [column for _, column in places], source.image_column
    table = Table.open(path, [*columns, image], image, source.where, cache)
    rows_of: dict[str | int, list[int]] = {}  # rows with the same path are one picture
    for row in table.rows:
        rows_of.setdefault((table.files or {}).get(row, row), []).append(row)
    groups = list(rows_of.values())

    def captions(index: int) -> list[Caption]:
        return [
            (language, text)
            for row in groups[index]
            for language, column in places
            for text in _texts(table.cell(column, row), f"{table.name(row)}, {column!r}")
        ]

    pictures = of_rows(table, [group[0] for group in groups], Labels.none(len(groups)))
    return CaptionedPictures(source, pictures, captions)


def _of_labels(source: CaptionSource, cache: Path) -> CaptionedPictures:
    assert source.labelled is not None
    pictures = open_pictures(source.labelled, cache)
    by_class: list[list[Caption]] = [[] for _ in pictures.classes]
    for language, templates in source.templates_by_language.items():
        names: dict[str, Any] = source.names or {}
        names = names.get(language, {}) if isinstance(source.templates, dict) else names
        for class_ in names:
            if class_ not in pictures.classes:
                near = nearest(class_, pictures.classes)
                raise QkvError(f"{source.path}: names has {class_!r}, which is no class of it; {near}")
        for captions, class_ in zip(by_class, pictures.classes, strict=True):
            captions += [(language, template.replace(LABEL, names.get(class_, class_))) for template in templates]
    labels = pictures.labels.tolist()
    names_file = [source.labelled.classes] if isinstance(source.labelled.classes, str) else []
    return CaptionedPictures(source, pictures, lambda index: by_class[labels[index]], names_file)


def _of_shards(source: CaptionSource, cache: Path, reporter: Reporter) -> CaptionedPictures:
    shards = Shards.open(source.shards or [], cache, reporter)

    def captions(index: int) -> list[Caption]:
        name = shards.name(index)
        text = shards.read(index, "text") if source.captions is None else None
        if text is not None:
            return [(source.language, line) for line in split_lines(_decoded(text, name)) if line.strip()]
        content = shards.read(index, "json")
        sample = {} if content is None else _parsed(content, name)
        cells = [(language, key) for language, keys in source.columns.items() for key in keys if key in sample]
        return [(language, text) for language, key in cells for text in _texts(sample[key], name)]

    return CaptionedPictures(source, of_shards(source.path, shards), captions)


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


def _texts(cell: object, name: str) -> list[str]:
    """The captions in a cell: a text, a list of them, or nothing, which counts as an empty one."""
    texts: list[Any] = cell if isinstance(cell, list) else [cell]
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise QkvError(f"{name} holds {str(text)[:40]!r}, which is no text: correct it, or name another place")
    return [text or "" for text in texts]
