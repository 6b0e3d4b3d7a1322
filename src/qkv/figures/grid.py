"""Pictures over what a model makes of them, as one picture."""

import io

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
    scale = max(_SIDE // originals.shape[3], 1)
    file = io.BytesIO()
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(file, format="PNG")
    return file.getvalue()
