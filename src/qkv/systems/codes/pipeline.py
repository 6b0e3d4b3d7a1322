"""A picture to its codes and back: preprocessing and discrete VAE behind `encode` and `decode`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from qkv.config import parse
from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.preprocessing import Preprocessing, to_images, to_pixels
from qkv.errors import QkvError
from qkv.model_directory import CONFIG, read_config, read_weights
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import set_weights
from qkv.runtime import inference_device

_BATCH = 64  # pictures at once, which bounds the memory


class ImageCodes:
    """A trained discrete VAE.

    Attributes:
        model: the discrete VAE.
        preprocessing: from a picture to what the model reads.
    """

    def __init__(self, model: DVAE, preprocessing: Preprocessing) -> None:
        self.model, self.preprocessing = model.eval(), preprocessing

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> "ImageCodes":
        """Read a model folder.

        Args:
            folder: holds config.json and weights.
            device: where to run; the GPU if there is one unless given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        config, where = read_config(folder), str(folder / CONFIG)
        if not all(isinstance(config.get(name), dict) for name in ("model", "preprocessing")):
            raise QkvError(f"{where} lacks model or preprocessing: it is no discrete VAE's")
        sizes = parse(DVAEConfig, config["model"], f"{where}: model")
        preprocessing = parse(Preprocessing, config["preprocessing"], f"{where}: preprocessing")
        if (preprocessing.size, preprocessing.channels) != (sizes.image_size, sizes.channels):
            raise QkvError(f"{where}: size and channels of a picture do not fit together; restore the folder")
        model = DVAE(sizes)
        set_weights(model, read_weights(folder), str(folder))
        return cls(model.to(inference_device(device)), preprocessing)

    def encode(self, pictures: Sequence[Picture]) -> Int[Tensor, "N h w"]:
        """The codes of pictures, a grid of them for each.

        Raises:
            QkvError: a picture cannot be read; the message names it.
        """
        grid = self.model.config.grid
        found = [torch.empty(0, grid, grid, dtype=torch.int64)]
        for start in range(0, len(pictures), _BATCH):
            part = [self._pixels(picture) for picture in pictures[start : start + _BATCH]]
            found.append(self.encode_pixels(torch.stack(part)).cpu())
        return torch.cat(found)

    def decode(self, codes: Int[Tensor, "N h w"]) -> list[Image.Image]:
        """The pictures of codes."""
        return [image for part in codes.split(_BATCH) for image in to_images(self.decode_pixels(part))]

    def reconstruct(self, pictures: Sequence[Picture]) -> list[Image.Image]:
        """What is left of pictures once they are codes; of the size that the model reads.

        Raises:
            QkvError: a picture cannot be read; the message names it.
        """
        return self.decode(self.encode(pictures))

    @torch.inference_mode()
    def encode_pixels(self, pixels: UInt8[Tensor, "B C H W"]) -> Int[Tensor, "B h w"]:
        """The codes of pictures that have the model's size already, in one batch, on the model's device."""
        return self.model.encode(self.preprocessing.normalise(pixels).to(self._device))

    @torch.inference_mode()
    def decode_pixels(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B C H W"]:
        """The pictures of codes, from 0 to 1, in one batch, on the model's device."""
        return self.model.decode(codes.to(self._device))

    @property
    def _device(self) -> torch.device:
        return self.model.quantiser.codebook.device

    def _pixels(self, picture: Picture) -> UInt8[Tensor, "C H W"]:
        preprocessing = self.preprocessing
        return to_pixels(preprocessing.fit(open_picture(picture, preprocessing.channels, preprocessing.shorter_side)))
