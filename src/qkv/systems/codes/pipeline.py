"""A picture to its codes and back: preprocessing and discrete VAE behind `encode` and `decode`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.preprocessing import to_images
from qkv.model_directory import read_saved, read_weights
from qkv.models.dvae import DVAE, DVAEOutput
from qkv.models.weights import set_weights
from qkv.runtime.device import to_device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.codes.saved import Saved


class Codes:
    """A trained discrete VAE.

    Attributes:
        model: encoder, codebook and decoder.
        preprocessing: from a picture to what the model reads.
        batch_size: pictures at once, which bounds the memory.
    """

    batch_size = 64

    def __init__(self, saved: Saved, engine: Engine[DVAE]) -> None:
        self.preprocessing = saved.preprocessing
        self.model, self._engine = engine.model, engine

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> "Codes":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        model = DVAE(saved.model)
        set_weights(model, read_weights(folder), str(folder))
        return cls(saved, open_engine(model, device))

    def encode(self, pictures: Sequence[Picture]) -> Int[Tensor, "N h w"]:
        """The codes of pictures, a grid of them for each; a QkvError names one that cannot be read."""
        grid, how = self.model.config.grid, self.preprocessing
        found = [torch.empty(0, grid, grid, dtype=torch.int64)]
        size = self.batch_size
        for start in range(0, len(pictures), size):
            part = (open_picture(one, how.channels, how.shorter_side) for one in pictures[start : start + size])
            found.append(self.encode_images(torch.stack(list(map(how, part)))))
        return torch.cat(found)

    def decode(self, codes: Int[Tensor, "N h w"]) -> list[Image.Image]:
        """The pictures of codes."""
        parts = (self._engine.call(self.model.decode, part) for part in codes.split(self.batch_size))
        return [image for part in parts for image in to_images(part)]

    def encode_images(self, images: Float[Tensor, "B C H W"]) -> Int[Tensor, "B h w"]:
        """The codes of pictures that are preprocessed already, in one batch."""
        return self._engine.call(self.model.encode, images).cpu()

    def run(self, images: Float[Tensor, "B C H W"]) -> DVAEOutput:
        """What the model makes of such pictures: their codes, what comes back from these, and what they cost."""
        return to_device(self._engine.forward(images), torch.device("cpu"))


Pipeline = Codes
