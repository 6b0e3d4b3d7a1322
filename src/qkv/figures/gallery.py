"""Pictures over their captions, as one picture."""

import io
from collections.abc import Sequence
from itertools import accumulate

from PIL import Image

from qkv.figures.labels import Label, write_labels

_COLUMNS, _SIDE, _GAP, _LINE, _LEAST_WIDTH = 8, 96, 6, 26, 384
_SAMPLE, _NAME = 112, 18


def draw_gallery(pictures: Sequence[Sequence[Image.Image]], captions: Sequence[str]) -> bytes:
    """A PNG file: the pictures of each caption over it, all of one size, eight a row; long captions are cut."""
    side = max(_SIDE // pictures[0][0].width, 1) * pictures[0][0].width
    columns = min(_COLUMNS, max(map(len, pictures)))
    width = max(columns * (side + _GAP) + _GAP, _LEAST_WIDTH)
    heights = [-(-len(row) // columns) * (side + _GAP) + _LINE for row in pictures]
    bottoms = list(accumulate(heights, initial=_GAP))
    sheet = Image.new("RGB", (width, bottoms[-1]), "white")
    for top, row in zip(bottoms, pictures):
        for number, picture in enumerate(row):
            place = _GAP + number % columns * (side + _GAP), top + number // columns * (side + _GAP)
            sheet.paste(picture.convert("RGB").resize((side, side), Image.Resampling.NEAREST), place)
    lines, room = zip(captions, bottoms[1:]), width - 2 * _GAP
    return _labelled(sheet, [Label(text, _GAP, bottom - (_LINE + _GAP) / 2, room) for text, bottom in lines])


def draw_samples(pictures: Sequence[Image.Image], names: Sequence[str]) -> bytes:
    """A PNG file: pictures scaled to one size, eight a row, each over its name, which is cut where it is wider."""
    width, height = _SAMPLE + _GAP, _SAMPLE + _NAME + _GAP
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, -(-len(pictures) // _COLUMNS) * height + _GAP), "white")
    labels = []
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left, top = _GAP + place % _COLUMNS * width, _GAP + place // _COLUMNS * height
        sheet.paste(picture.convert("RGB").resize((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST), (left, top))
        labels.append(Label(name, left, top + _SAMPLE + _NAME / 2, _SAMPLE))
    return _labelled(sheet, labels)


def _labelled(sheet: Image.Image, labels: Sequence[Label]) -> bytes:
    """The sheet with lines of text on it, as a PNG file."""
    write_labels(sheet, labels)
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()
