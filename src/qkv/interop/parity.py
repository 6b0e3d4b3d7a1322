"""How far our logits are from those of the library that a checkpoint comes from."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from qkv.errors import QkvError, one_line
from qkv.models.vit import ViT

LIMIT = 1e-4  # largest difference of a logit, in float32
Logits = Callable[[Tensor], Tensor]
"""From normalised pictures [B, C, H, W] to logits [B, K]."""


@dataclass(frozen=True)
class Reference:
    """The library that a checkpoint comes from; `load` makes of its `module` a function that gives logits.

    Attributes:
        library: its name.
        module: what `load` needs of it.
        load: makes, of that module, a function from normalised pictures [B, C, H, W] to logits [B, K].
    """

    library: str
    module: str
    load: Callable[[ModuleType], Logits]


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        reference: what was compared with, and its version; or why nothing was, without any differences.
        differences: the largest of a logit, by height and width of pictures.
    """

    reference: str
    differences: tuple[tuple[tuple[int, int], float], ...]

    def __str__(self) -> str:
        if not self.differences:
            return f"not compared: {self.reference}"
        found = ", ".join(f"{value:.1e} at {height} x {width}" for (height, width), value in self.differences)
        return f"logits differ from {self.reference} by at most {found} (limit {LIMIT:.0e})"


def compare(model: ViT, reference: Reference) -> Parity:
    """Compare with the reference on random pictures of the trained size and of another one.

    The other size has fewer rows and more columns: it tells height from width, and shows how positions are resampled
    both ways. Without the reference's library nothing is compared.

    Raises:
        QkvError: the reference cannot run the checkpoint, or a logit differs by more than `LIMIT`.
    """
    try:
        library, module = (importlib.import_module(name) for name in (reference.library, reference.module))
    except Exception as error:  # a library that is there but broken may raise anything
        absent = isinstance(error, ModuleNotFoundError) and error.name == reference.library
        reason = "is not installed" if absent else f"cannot be imported here ({one_line(error)})"
        return Parity(f"{reference.library} {reason}", ())
    named = f"{reference.library} {getattr(library, '__version__', '')}".rstrip()
    side, cell = model.config.grid, model.config.cell
    sizes = [(side * cell, side * cell), (max(side // 2, 1) * cell, (side + 1) * cell)]
    try:
        theirs = reference.load(module)
        found = tuple((size, _difference(model, theirs, *size)) for size in sizes)
    except Exception as error:
        raise QkvError(f"the comparison with {named} failed ({one_line(error)}); nothing is written") from None
    parity = Parity(named, found)
    if not all(value <= LIMIT for _, value in found):  # so that NaN fails too
        raise QkvError(f"{parity}; nothing is written: please report this checkpoint")
    return parity


@torch.inference_mode()
def _difference(model: ViT, theirs: Logits, height: int, width: int) -> float:
    images = torch.randn(2, model.config.channels, height, width, generator=torch.Generator().manual_seed(0))
    return (model(images) - theirs(images)).abs().max().item()
