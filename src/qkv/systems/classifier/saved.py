"""What config.json of a classifier holds."""

from dataclasses import dataclass
from typing import ClassVar

from qkv.config import WIDEST, check_range
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.models.vit import ViTConfig


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A classifier, but for its weights."""

    system: ClassVar[str] = "classifier"
    model: ViTConfig  # sizes and choices
    labels: tuple[str, ...]  # the classes, in the order of the model's outputs
    preprocessing: Preprocessing  # from a picture to what the model reads
    temperature: float = 1.0  # what logits are divided by (Guo et al. 2017), found on the validation pictures

    @property
    def knows(self) -> str:
        """What it can tell apart, in a few words."""
        return f"{len(self.labels):,} classes"

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("labels: there is none")
        if len(self.labels) > WIDEST:
            raise ValueError(f"labels: there are {len(self.labels):,}, above {WIDEST:,}")
        check_range(self, 1e-3, 1e3, "temperature")
        if self.preprocessing.channels != self.model.channels:
            raise ValueError("preprocessing.channels is not model.channels")
        if self.preprocessing.size % self.model.cell:
            raise ValueError(f"preprocessing.size is no multiple of a patch ({self.model.cell})")
