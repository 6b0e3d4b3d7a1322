"""Pictures over their captions, as one picture."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from qkv.explain.fonts import drawing, substitute
from qkv.explain.words import printable

_COLUMNS, _SIDE, _GAP, _LINE, _LEAST_WIDTH = 8, 96, 6, 26, 384
_DPI, _POINTS = 100, 9


def draw_gallery(pictures: Sequence[Sequence[Image.Image]], captions: Sequence[str]) -> bytes:
    """A PNG file: the pictures of each caption over it, eight a row.

    Args:
        pictures: of each caption, all of one size.
        captions: one for each list of pictures; what does not fit into a line is cut.
    """
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
    return _with_captions(sheet, bottoms[1:], captions)


def _with_captions(sheet: Image.Image, bottoms: Sequence[int], captions: Sequence[str]) -> bytes:
    """The sheet with a line of text above each of these heights, as a PNG file."""
    with drawing("".join(captions) + "…") as missing:
        figure = Figure(figsize=(sheet.width / _DPI, sheet.height / _DPI), dpi=_DPI)
        FigureCanvasAgg(figure)
        figure.figimage(np.asarray(sheet))
        for bottom, caption in zip(bottoms, captions, strict=True):
            middle = 1 - (bottom - (_LINE + _GAP) / 2) / sheet.height
            text = substitute(printable(caption), missing)
            label = figure.text(_GAP / sheet.width, middle, text, fontsize=_POINTS, va="center_baseline")
            _cut(label, sheet.width - 2 * _GAP)
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def _cut(label: Text, width: int) -> None:
    """Leave of a text what fits into so many pixels."""
    text = label.get_text()
    if label.get_window_extent().width <= width:
        return

    def needed(kept: int) -> float:
        label.set_text(text[:kept] + "…")
        return label.get_window_extent().width

    label.set_text(text[: bisect_right(range(len(text)), width, key=needed) - 1] + "…")
