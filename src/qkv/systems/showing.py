"""How models and what they give show themselves: a line at a prompt, a little HTML or a picture in a notebook."""

from html import escape
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

if TYPE_CHECKING:
    from PIL import Image

Model = TypeVar("Model", bound=nn.Module)


class ShownModel(Generic[Model]):
    """A pipeline that says what it is.

    Attributes:
        model: what computes.
        knows: what it can tell apart or read, in a few words.
    """

    model: Model
    knows: str

    def _about(self) -> str:
        weights = list(self.model.parameters())
        return f"{self.knows}; {sum(weight.numel() for weight in weights):,} parameters, on {weights[0].device}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._about()}>"

    def _repr_html_(self) -> str:
        return f"<b>{type(self).__name__}</b><br>{escape(self._about())}"


class Pictures(list["Image.Image"]):
    """Pictures of one size, which a notebook shows side by side."""

    def _repr_png_(self) -> bytes | None:
        from qkv.figures.grid import draw_side_by_side  # and with it Pillow, which a translator does without

        return draw_side_by_side(self) if self else None


def table(rows: list[tuple[str, str]]) -> str:
    """Rows of two cells as HTML, whatever is in them."""
    cells = "".join(f'<tr><td dir="auto">{escape(one)}</td><td>{escape(other)}</td></tr>' for one, other in rows)
    return f"<table>{cells}</table>"
