"""A contact sheet: training pictures as the model is shown them, each over the name of its class."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from qkv.files import atomic_file

_COLUMNS, _SIDE, _CAPTION, _GAP = 8, 112, 18, 6
_LONGEST = 18


def draw_samples(pictures: Sequence[UInt8[Tensor, "C H W"]], names: Sequence[str], path: Path) -> None:
    """Write the pictures, eight a row, into a PNG file, whole or not at all.

    Args:
        pictures: grey or in colour.
        names: what stands under each.
        path: the file; its folder is made.
    """
    width, height = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, rows * height + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (pixels, name) in enumerate(zip(pictures, names, strict=True)):
        left, top = _GAP + place % _COLUMNS * width, _GAP + place // _COLUMNS * height
        array = pixels.permute(1, 2, 0).numpy()
        picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
        sheet.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (left, top))
        label = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        pen.text((left, top + _SIDE + 2), label, fill="black", font=font)
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG")
