"""Maps over a picture, as one PNG file: the picture, its attention rollout, and what each head looks at."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from qkv.explain.attention import index_of
from qkv.explain.patches import PatchAttention
from qkv.explain.picture import check_png
from qkv.figures.fonts import drawing, substitute
from qkv.files import atomic_file

_PANEL = 2.2  # inches
_MOST_COLUMNS = 8


def draw_patches(
    image: Image.Image, attention: PatchAttention, path: Path, *, layer: int | None = None, heading: str = ""
) -> None:
    """Write a PNG file: the picture, the rollout over it, and a map for each head of one layer.

    Args:
        image: what the model was shown, cut and resized as it was.
        attention: where the model looked on it.
        path: the file; its folder is made.
        layer: from 1; the last if not given.
        heading: above all.

    Raises:
        QkvError: there is no such layer, or the file cannot be written.
    """
    layer = len(attention.heads) if layer is None else layer
    heads = attention.heads[index_of(layer, len(attention.heads), "layer")]
    check_png(path)
    panels = [("the picture", None), ("attention rollout, all layers", attention.rollout)]
    panels += [(f"layer {layer}, head {head}", grid) for head, grid in enumerate(heads, 1)]
    columns = min(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    with drawing(heading) as missing:
        figure = Figure(figsize=(columns * _PANEL, rows * (_PANEL + 0.3) + 0.5), dpi=150, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for ax, panel in zip(axes, panels):
            _show(ax, image, *panel)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        figure.suptitle(substitute(heading, missing), fontsize=11)
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format="png", bbox_inches="tight")


def _show(ax: Axes, image: Image.Image, title: str, grid: Float[Tensor, "R C"] | None) -> None:
    ax.set_title(title, fontsize=8)
    ax.set_axis_off()
    width, height = image.size
    if grid is None:
        ax.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")
        return
    ax.imshow(np.asarray(image.convert("L")), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    # Stretched to the map's own range: the colours say where the model looks, not how much.
    ax.imshow(grid.numpy(), cmap="magma", alpha=0.55, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
