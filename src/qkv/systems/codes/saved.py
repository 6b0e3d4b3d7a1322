"""What config.json of a discrete VAE holds."""

from dataclasses import dataclass
from typing import ClassVar

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.models.dvae import DVAEConfig


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A discrete VAE, but for its weights."""

    system: ClassVar[str] = "codes"
    model: DVAEConfig
    preprocessing: Preprocessing  # to numbers from 0 to 1

    @property
    def knows(self) -> str:
        """How much it can tell apart, in a few words."""
        return f"{self.model.codes:,} codes"

    def __post_init__(self) -> None:
        for name, size in (("size", self.model.image_size), ("channels", self.model.channels)):
            if (read := getattr(self.preprocessing, name)) != size:
                raise ValueError(f"preprocessing.{name} is {read}, but the discrete VAE's is {size}")
