"""A picture to its codes and back: preprocessing and discrete VAE behind `encode` and `decode`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.preprocessing import to_images
from qkv.errors import QkvError
from qkv.model_directory import read_saved, read_weights
from qkv.models.dvae import DVAE, DVAEOutput
from qkv.models.weights import build
from qkv.runtime.device import Device, to_device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.arguments import checked, pictures
from qkv.systems.codes.saved import Saved
from qkv.systems.showing import Pictures, ShownModel


class Codes(ShownModel[DVAE]):
    """A trained discrete VAE.

    Attributes:
        model: encoder, codebook and decoder.
        preprocessing: from a picture to what the model reads.
        batch_size: pictures at once, which bounds the memory.
    """

    batch_size = 64

    def __init__(self, saved: Saved, engine: Engine[DVAE]) -> None:
        self.knows = saved.knows
        self.preprocessing = saved.preprocessing
        self.model, self._engine = engine.model, engine

    @classmethod
    @checked
    def load(cls, folder: Path, device: Device | None = None) -> "Codes":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        model = build(lambda: DVAE(saved.model), read_weights(folder), str(folder))
        return cls(saved, open_engine(model, device))

    @checked
    def encode(self, images: Picture | Iterable[Picture]) -> Int[Tensor, "N h w"]:
        """The codes of pictures, a grid of them for each; a QkvError names one that cannot be read."""
        grid, how, (given, _) = self.model.config.grid, self.preprocessing, pictures(images)
        found = [torch.empty(0, grid, grid, dtype=torch.int64)]
        size = self.batch_size
        for start in range(0, len(given), size):
            part = (open_picture(one, how.channels, how.shorter_side) for one in given[start : start + size])
            found.append(self.encode_images(torch.stack(list(map(how, part)))))
        return torch.cat(found)

    @checked
    def decode(self, codes: Int[Tensor, "N h w"]) -> Pictures:
        """The pictures of codes; refuses what is no grid of codes of this model."""
        parts = (self._engine.call(self.model.decode, part) for part in self._grids(codes).split(self.batch_size))
        return Pictures(image for part in parts for image in to_images(part))

    def encode_images(self, images: Float[Tensor, "B C H W"]) -> Int[Tensor, "B h w"]:
        """The codes of pictures that are preprocessed already, in one batch."""
        return self._engine.call(self.model.encode, images).cpu()

    def _grids(self, codes: Any) -> Int[Tensor, "N h w"]:
        grid, known = self.model.config.grid, self.model.config.codes
        wanted = f"codes must be whole numbers from 0 to {known - 1}, {grid} x {grid} for each picture"
        try:
            given = torch.as_tensor(codes)
        except (TypeError, ValueError, RuntimeError):
            raise QkvError(f"{wanted}, not a value of type {type(codes).__name__}") from None
        if given.ndim != 3 or given.shape[1:] != (grid, grid):
            raise QkvError(f"{wanted}, not numbers of shape {list(given.shape)}")
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise QkvError(f"{wanted}, not {given.dtype}")
        if given.numel() and not 0 <= given.min() <= given.max() < known:
            raise QkvError(f"{wanted}, not from {given.min()} to {given.max()}")
        return given.long()

    def run(self, images: Float[Tensor, "B C H W"]) -> DVAEOutput:
        """What the model makes of such pictures: their codes, what comes back from these, and what they cost."""
        return to_device(self._engine.forward(images), torch.device("cpu"))


Pipeline = Codes
