"""Pictures side by side, and over what a model makes of them, as one picture."""

import io
from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

_COLUMNS, _SIDE = 8, 96


def draw_reconstructions(originals: Float[Tensor, "N C H W"], reconstructions: Float[Tensor, "N C H W"]) -> bytes:
    """A PNG file: rows of up to eight pictures from 0 to 1, each row over a row of their reconstructions."""
    pairs = torch.stack([originals, reconstructions], dim=1).float().cpu()
    columns = min(_COLUMNS, len(pairs))
    blank = pairs.new_ones(-len(pairs) % columns, *pairs.shape[1:])
    rows = torch.cat([pairs, blank]).unflatten(0, (-1, columns))  # R N 2 C H W
    sheet = rows.permute(0, 2, 4, 1, 5, 3).flatten(3, 4).flatten(0, 2)  # H' W' C
    pixels = (sheet * 255).round().byte().numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _file(picture, max(_SIDE // originals.shape[3], 1))


def draw_side_by_side(pictures: Sequence[Image.Image]) -> bytes:
    """A PNG file: at least one picture, all of one size and kind, in rows of up to eight."""
    width, height = pictures[0].size
    sheet = Image.new(pictures[0].mode, (min(_COLUMNS, len(pictures)) * width, -(-len(pictures) // _COLUMNS) * height))
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % _COLUMNS * width, place // _COLUMNS * height))
    return _file(sheet, max(_SIDE // width, 1))


def _file(picture: Image.Image, scale: int) -> bytes:
    """A PNG file of a picture, so many times as large."""
    file = io.BytesIO()
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(file, format="PNG")
    return file.getvalue()
