"""A confusion matrix as a picture: what each class is taken for."""

import io
from collections.abc import Sequence

from jaxtyping import Int
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from qkv.figures.fonts import drawing, shorten, substitute

_NUMBERED = 30  # up to so many classes, cells show their numbers


def draw_confusion(confusion: Int[Tensor, "K K"], classes: Sequence[str]) -> bytes:
    """A PNG file. Rows are what pictures are, columns what they are taken for; shades are shares of a row."""
    n = len(classes)
    shares = confusion.double() / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    side = min(max(0.42 * n, 2.0), 30.0)
    with drawing("".join(classes) + "…") as missing:
        labels = [substitute(shorten(name), missing) for name in classes]
        figure = Figure(figsize=(side + 2, side + 2), dpi=110, facecolor="white")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        ax.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(n), labels, rotation=90, fontsize=9)
        ax.set_yticks(range(n), labels, fontsize=9)
        ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        ax.set_xlabel("taken for")
        ax.set_ylabel("is")
        if n <= _NUMBERED:
            for row, column in confusion.nonzero().tolist():
                colour = "white" if shares[row, column] > 0.5 else "#1b1f24"
                count = f"{int(confusion[row, column]):,}"
                ax.text(column, row, count, ha="center", va="center", fontsize=7, color=colour)
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()
