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
from qkv.figures.fonts import drawing, shorten, substitute
from qkv.files import atomic_file

# One hue from light to dark: the order survives every kind of colour blindness, and a black-and-white printer.
_COLOURS = "Blues"
_INK, _PALE = "#1b1f24", "#8b949e"
_CELL, _SMALL_CELL, _MANY = 0.36, 0.24, 40  # inches a cell measures, in maps up to so many words and beyond
_GAP, _MARGIN, _CHARACTERS_PER_INCH = 0.7, 0.3, 12
_DPI, _MOST_PIXELS = 150, 10000
_SHOWN = 0.1  # weights from here on are written into their cells


@dataclass(frozen=True)
class Panel:
    """One heat map of a picture."""

    title: str  # which attention it shows
    reading: str  # how to read its rows and columns
    table: AttentionMap


@dataclass(frozen=True)
class Drawing:
    """What `draw_translation` chose and could not draw."""

    layer: int | None  # of the encoder head that is shown, from 1; None if the encoder has no attention to show
    head: int | None  # from 1
    missing: set[str]  # characters that no installed font has; the picture shows boxes for them


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
    check_png(path)
    with drawing("".join(_texts(panels, heading))) as missing:
        matplotlib.rcParams["text.color"] = _INK
        figure = _compose(panels, heading, missing)
        box = figure.get_tightbbox().padded(_MARGIN)
        with atomic_file(path) as temporary:
            # Fewer dots for a sentence of hundreds of words, which would fill the memory otherwise.
            dpi = min(_DPI, _MOST_PIXELS / max(box.size))
            figure.savefig(temporary, format="png", dpi=dpi, bbox_inches=box)
    return missing


def check_png(path: Path) -> None:
    """Raise QkvError if a file's name is not that of a PNG file."""
    if path.suffix.lower() != ".png":
        raise QkvError(f"{path}: pictures are PNG files, give a name that ends in .png")


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
    title = f"Cross-attention, mean of all {'layers and heads' if layer is None else f'heads of layer {layer}'}"
    reading = "Row: where the model looked while it wrote this word"
    panels = [Panel(title, reading, record.map("decoder", "cross", layer))]
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
        title, reading = (substitute(text, missing) for text in (panel.title, panel.reading))
        lines = [
            figure.text(start, labels_top + 0.42, title, fontsize=12, weight="bold"),
            figure.text(start, labels_top + 0.18, reading, fontsize=9.5, color=_PALE),
        ]
        right = start + max(extent.width, *(line.get_window_extent(renderer).width / _DPI for line in lines))
    width = int(right * _CHARACTERS_PER_INCH)
    sentences = "\n".join(line for text in heading for line in textwrap.wrap(substitute(text, missing), width))
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
    ax.tick_params(length=0, pad=4, top=True, labeltop=True, bottom=False, labelbottom=False)
    for axis, tokens in ((ax.xaxis, table.keys), (ax.yaxis, table.queries)):
        labels = [substitute(shorten(token.text), missing) for token in tokens]
        axis.set_ticks([i + 0.5 for i in range(len(tokens))], labels, fontsize=size)
        for label, token in zip(axis.get_ticklabels(), tokens, strict=True):
            label.set_color(_INK if token.is_word else _PALE)
    slant = {"rotation": 90, "va": "center"} if many else {"rotation": 45, "va": "baseline"}
    for label in ax.get_xticklabels():
        label.set(**slant, ha="left", rotation_mode="anchor")
    ax.spines[:].set_color("#d0d7de")
    if not many:
        _write_weights(ax, table)
    return ax


def _write_weights(ax: Axes, table: AttentionMap) -> None:
    """Percentages in the cells that matter."""
    for row, weights in enumerate(table.weights.tolist()):
        for column, weight in enumerate(weights):
            if weight >= _SHOWN:
                style = {"fontsize": 7.5, "color": "white" if weight > 0.55 * _brightest(table) else _INK}
                ax.text(column + 0.5, row + 0.5, f"{weight:.0%}"[:-1], ha="center", va="center", **style)


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
