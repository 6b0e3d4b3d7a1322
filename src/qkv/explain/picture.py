"""Attention as a picture: heat maps side by side, one cell for each pair of words, in one PNG file."""

import textwrap
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from qkv.errors import QkvError
from qkv.explain.attention import AttentionMap, AttentionRecord, informative_head
from qkv.explain.words import Token
from qkv.figures.fonts import drawing, printable, substitute
from qkv.files import atomic_file

# One hue from light to dark: the order survives every kind of colour blindness, and a black-and-white printer.
_COLOURS = "Blues"
_INK, _PALE = "#1b1f24", "#8b949e"
_LONGEST_LABEL = 24
_CELL, _SMALL_CELL, _MANY = 0.36, 0.24, 40
"""Inches a cell measures, in maps up to so many words and beyond."""
_GAP = 0.7
_DPI = 150
_MARGIN = 0.3
_MOST_PIXELS = 10000
_CHARACTERS_PER_INCH = 12
_SHOWN = 0.1
"""Weights from here on are written into their cells."""


@dataclass(frozen=True)
class Panel:
    """One heat map of a picture.

    Attributes:
        title: which attention it shows.
        reading: how to read its rows and columns.
        table: the weights.
    """

    title: str
    reading: str
    table: AttentionMap


@dataclass(frozen=True)
class Drawing:
    """What `draw_translation` chose and could not draw.

    Attributes:
        layer: of the encoder head that is shown, from 1; None if the encoder has no attention to show.
        head: from 1.
        missing: characters that no installed font has; the picture shows boxes for them.
    """

    layer: int | None
    head: int | None
    missing: set[str]


def draw(panels: Sequence[Panel], path: Path, heading: Sequence[str] = ()) -> set[str]:
    """Write the panels side by side into a PNG file, whole or not at all.

    Args:
        panels: from left to right.
        path: the file; its folder is made.
        heading: sentences above all, each on lines of its own.

    Returns:
        The characters that no installed font has; the picture shows boxes for them.

    Raises:
        QkvError: the file cannot be written, or its name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise QkvError(f"{path}: pictures are PNG files, give a name that ends in .png")
    with drawing("".join(_texts(panels, heading))) as missing:
        matplotlib.rcParams["text.color"] = _INK
        figure = _compose(panels, heading, missing)
        box = figure.get_tightbbox().padded(_MARGIN)
        with atomic_file(path) as temporary:
            # Fewer dots for a sentence of hundreds of words, which would fill the memory otherwise.
            dpi = min(_DPI, _MOST_PIXELS / max(box.size))
            figure.savefig(temporary, format="png", dpi=dpi, bbox_inches=box)
    return missing


def draw_translation(
    record: AttentionRecord,
    path: Path,
    *,
    layer: int | None = None,
    head: int | None = None,
    heading: Sequence[str] = (),
) -> Drawing:
    """Draw the cross-attention on the left and one head of the encoder on the right, if it has any.

    Args:
        record: best with words, not pieces.
        path: the PNG file.
        layer: from 1; for both maps. None is the mean of all layers on the left.
        head: from 1; of the encoder. Where layer or head is None, the most informative one is shown.
        heading: sentences above all.

    Raises:
        QkvError: there is no such layer or head, or the file cannot be written.
    """
    panels = [
        Panel(
            f"Cross-attention, mean of all {'layers and heads' if layer is None else f'heads of layer {layer}'}",
            "Row: where the model looked while it wrote this word",
            record.map("decoder", "cross", layer),
        )
    ]
    if not record.has("encoder", "self") and head is None:
        return Drawing(None, None, missing=draw(panels, path, heading))
    shown = informative_head(record, layer, head)
    title = f"Encoder self-attention, layer {shown[0]}, head {shown[1]}"
    panels.append(Panel(title, "Row: where this word looked", record.map("encoder", "self", *shown)))
    return Drawing(*shown, missing=draw(panels, path, heading))


def _texts(panels: Sequence[Panel], heading: Sequence[str]) -> Iterator[str]:
    yield from heading
    for panel in panels:
        yield panel.title + panel.reading
        yield from (token.text for token in (*panel.table.queries, *panel.table.keys))


def _compose(panels: Sequence[Panel], heading: Sequence[str], missing: Set[str]) -> Figure:
    """Lay out in inches: the figure is one inch wide and high, and saving it extends it to all that was drawn."""
    figure = Figure(figsize=(1, 1), dpi=_DPI, facecolor="white")
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = [_heat_map(figure, panel.table, missing) for panel in panels]
    extents = [_extent(ax, renderer) for ax in axes]
    labels_top = max(extent.y1 for extent in extents)
    right = -_GAP
    for panel, ax, extent in zip(panels, axes, extents, strict=True):
        start = right + _GAP
        place = ax.get_position()
        ax.set_position((start - extent.x0, place.y0, place.width, place.height))
        _scale(figure, panel.table, start - extent.x0, place.y0 - 0.3)
        title = _clean(panel.title, missing), {"fontsize": 12, "weight": "bold"}
        reading = _clean(panel.reading, missing), {"fontsize": 9.5, "color": _PALE}
        lines = [
            figure.text(start, labels_top + above, text, **style)
            for above, (text, style) in ((0.42, title), (0.18, reading))
        ]
        right = start + max(extent.width, *(line.get_window_extent(renderer).width / _DPI for line in lines))
    width = int(right * _CHARACTERS_PER_INCH)
    sentences = "\n".join(line for text in heading for line in textwrap.wrap(_clean(text, missing), width))
    figure.text(0, labels_top + 0.85, sentences, fontsize=11, va="bottom", linespacing=1.5)
    return figure


def _extent(ax: Axes, renderer: RendererAgg) -> Bbox:
    """What a map covers with its labels, in inches."""
    box = ax.get_tightbbox(renderer)
    assert box is not None, "a map is always visible"
    return Bbox(box.get_points() / _DPI)


def _heat_map(figure: Figure, table: AttentionMap, missing: Set[str]) -> Axes:
    """One map, its upper left corner at the origin."""
    rows, columns = table.weights.shape
    many = max(rows, columns) > _MANY
    cell, size = (_SMALL_CELL, 8) if many else (_CELL, 10)
    ax = figure.add_axes((0, -rows * cell, columns * cell, rows * cell))
    ax.pcolormesh(
        table.weights.numpy(), cmap=_COLOURS, vmin=0, vmax=_brightest(table), edgecolors="white", linewidth=0.8
    )
    ax.invert_yaxis()
    ax.set_xticks([i + 0.5 for i in range(columns)], [_label(token, missing) for token in table.keys], fontsize=size)
    ax.set_yticks([i + 0.5 for i in range(rows)], [_label(token, missing) for token in table.queries], fontsize=size)
    ax.tick_params(length=0, pad=4, top=True, labeltop=True, bottom=False, labelbottom=False)
    slant = {"rotation": 90, "va": "center"} if many else {"rotation": 45, "va": "baseline"}
    for label in ax.get_xticklabels():
        label.set(**slant, ha="left", rotation_mode="anchor")
    for labels, tokens in ((ax.get_xticklabels(), table.keys), (ax.get_yticklabels(), table.queries)):
        for label, token in zip(labels, tokens, strict=True):
            label.set_color(_INK if token.is_word else _PALE)
    ax.spines[:].set_color("#d0d7de")
    if not many:
        _write_weights(ax, table)
    return ax


def _write_weights(ax: Axes, table: AttentionMap) -> None:
    """Percentages in the cells that matter."""
    for row, weights in enumerate(table.weights.tolist()):
        for column, weight in enumerate(weights):
            if weight >= _SHOWN:
                colour = "white" if weight > 0.55 * _brightest(table) else _INK
                ax.text(
                    column + 0.5, row + 0.5, f"{weight:.0%}"[:-1], ha="center", va="center", fontsize=7.5, color=colour
                )


def _scale(figure: Figure, table: AttentionMap, left: float, bottom: float) -> None:
    """The colours' meaning, under a map."""
    ax = figure.add_axes((left, bottom, 1.2, 0.1))
    ax.imshow([range(256)], cmap=_COLOURS, aspect="auto")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("#d0d7de")
    for x, text, side in ((-0.04, "0", "right"), (1.04, f"{_brightest(table):.0%} of the attention of a row", "left")):
        ax.text(x, 0.45, text, transform=ax.transAxes, ha=side, va="center", fontsize=8, color=_PALE)


def _brightest(table: AttentionMap) -> float:
    return float(table.weights.max())


def _label(token: Token, missing: Set[str]) -> str:
    text = token.text
    return _clean(text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…", missing)


def _clean(text: str, missing: Set[str]) -> str:
    return substitute(printable(text), missing)
