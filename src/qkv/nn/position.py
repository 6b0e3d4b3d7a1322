"""Positions added to the embeddings (Vaswani et al. 2017, section 3.5)."""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Layout = Literal["interleaved", "halves"]
PositionKind = Literal["sinusoidal", "sinusoidal_halves", "learned"]


def sinusoids(length: int, d_model: int, layout: Layout = "interleaved") -> Float[Tensor, "T D"]:
    """Sines and cosines of geometrically spaced frequencies.

    Args:
        length: number of positions T.
        d_model: width D, even.
        layout: `interleaved` puts sine at 2i and cosine at 2i+1 with wavelengths 2π·10000^(2i/D), as the paper's
            equations do; `halves` puts all sines first and all cosines second, and spaces D/2 frequencies from 1 to
            1/10000 inclusive, as tensor2tensor and fairseq do.

    Raises:
        ValueError: `d_model` is odd.
    """
    if d_model % 2:
        raise ValueError(f"sinusoidal positions need an even d_model, not {d_model}")
    half = d_model // 2
    denominator = half if layout == "interleaved" else max(half - 1, 1)
    frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000.0) / denominator))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    pair = torch.stack if layout == "interleaved" else torch.cat
    return pair([angles.sin(), angles.cos()], dim=-1).reshape(length, d_model).float()


def grid_sinusoids(rows: int, columns: int, d_model: int) -> Float[Tensor, "N D"]:
    """Positions of a grid, row by row: the first half of the width tells the row, the second half the column.

    Args:
        rows: of the grid.
        columns: of the grid; N is rows times columns.
        d_model: width D, a multiple of four.

    Raises:
        ValueError: `d_model` is no multiple of four.
    """
    if d_model % 4:
        raise ValueError(f"sinusoidal positions of a grid need a d_model that is a multiple of 4, not {d_model}")
    row, column = (sinusoids(length, d_model // 2) for length in (rows, columns))
    return torch.cat([row.repeat_interleave(columns, 0), column.repeat(rows, 1)], dim=1)


def resample_grid(table: Float[Tensor, "M D"], rows: int, columns: int, antialias: bool = True) -> Float[Tensor, "N D"]:
    """Learned positions of a square grid, interpolated for another one (Dosovitskiy et al. 2020, section 3.2).

    Args:
        table: positions of a square grid of M cells, row by row.
        rows: of the new grid.
        columns: of the new grid; N is rows times columns.
        antialias: low-pass before making the grid smaller, as timm does; Hugging Face's ViT does not.
    """
    side = math.isqrt(len(table))
    if (rows, columns) == (side, side):
        return table
    grid = table.T.reshape(1, -1, side, side)
    resized = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=antialias)
    return resized.flatten(2)[0].T


class SinusoidalPositions(nn.Module):
    """Fixed positions for sequences of any length: the table grows when it has to, and is never saved."""

    def __init__(self, d_model: int, layout: Layout = "interleaved") -> None:
        super().__init__()
        self.d_model = d_model
        self.layout: Layout = layout
        self.table: Tensor
        if not torch.empty(0).is_meta:  # else `models.weights.build` does, once weights are known to be as wide
            self.make_buffers()

    def make_buffers(self) -> None:
        """Compute the table that a new module has."""
        self.register_buffer("table", sinusoids(512, self.d_model, self.layout), persistent=False)

    def forward(self, length: int, start: int = 0) -> Float[Tensor, "T D"]:
        """Positions `start` to `start + length`."""
        if start + length > len(self.table):
            self.table = sinusoids(2 * (start + length), self.d_model, self.layout).to(self.table)
        return self.table[start : start + length]


class LearnedPositions(nn.Module):
    """A trained vector for each of `max_length` positions."""

    def __init__(self, d_model: int, max_length: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_length, d_model))
        nn.init.normal_(self.table, std=d_model**-0.5)

    def forward(self, length: int, start: int = 0) -> Float[Tensor, "T D"]:
        """Positions `start` to `start + length`; ValueError if they leave the table."""
        if start + length > len(self.table):
            raise ValueError(f"position {start + length} is beyond the {len(self.table)} learned positions")
        return self.table[start : start + length]


def make_positions(kind: PositionKind, d_model: int, max_length: int) -> SinusoidalPositions | LearnedPositions:
    """The positions that a configuration names; `max_length` bounds the learned ones only."""
    if kind == "learned":
        return LearnedPositions(d_model, max_length)
    if kind not in get_args(PositionKind):
        raise ValueError(f"positions must be one of {', '.join(get_args(PositionKind))}, not {kind!r}")
    return SinusoidalPositions(d_model, "halves" if kind == "sinusoidal_halves" else "interleaved")
