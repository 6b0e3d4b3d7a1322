"""What config.json of a painter holds."""

from dataclasses import dataclass
from typing import ClassVar

from qkv.config import check_range
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.models.dalle import DalleConfig
from qkv.models.dvae import DVAEConfig
from qkv.systems.codes.saved import Saved as SavedCodes


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A painter, but for its weights and its tokenizer."""

    system: ClassVar[str] = "painter"
    model: DalleConfig
    vocabulary: int  # tokens of captions
    languages: tuple[str, ...] = ()  # of the captions that it was trained on, as far as they are known
    dvae: DVAEConfig  # what it draws with
    preprocessing: Preprocessing  # to what the discrete VAE reads
    guidance: float = 1.0  # how closely it follows captions (`qkv.generation.Guided`) unless it is told otherwise

    @property
    def knows(self) -> str:
        """Whose captions it reads, in a few words."""
        return f"captions: {', '.join(self.languages)}" if self.languages else "captions"

    @property
    def codes(self) -> SavedCodes:
        """The discrete VAE by itself."""
        return SavedCodes(model=self.dvae, preprocessing=self.preprocessing)

    def __post_init__(self) -> None:
        check_range(self, 0, 1e3, "guidance")
        if self.dvae.grid != self.model.grid:
            raise ValueError(f"model.grid is {self.model.grid}, but the discrete VAE's is {self.dvae.grid}")
        _ = self.codes  # refuses what does not fit together
