"""What config.json of a scorer holds."""

from dataclasses import dataclass
from typing import ClassVar

from qkv.data.pictures.preprocessing import Preprocessing
from qkv.models.clip import CLIPConfig


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A scorer, but for its weights and its tokenizer."""

    system: ClassVar[str] = "scorer"
    model: CLIPConfig
    vocabulary: int  # tokens of captions
    languages: tuple[str, ...] = ()  # of the captions that it was trained on, as far as they are known
    preprocessing: Preprocessing

    @property
    def knows(self) -> str:
        """Whose captions it reads, in a few words."""
        return f"captions: {', '.join(self.languages)}" if self.languages else "captions"

    def __post_init__(self) -> None:
        for name, size in (("size", self.model.image.image_size), ("channels", self.model.image.channels)):
            if (read := getattr(self.preprocessing, name)) != size:
                raise ValueError(f"preprocessing.{name} is {read}, but the encoder of pictures has {size}")
