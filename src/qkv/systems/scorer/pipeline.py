"""How well pictures and captions go together: tokenizer, preprocessing and CLIP behind `score`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from qkv.config import parse
from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.text.padding import read_captions
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.model_directory import CONFIG, read_config, read_weights
from qkv.models.clip import CLIP, CLIPConfig
from qkv.models.weights import set_weights
from qkv.runtime import inference_device

_BATCH = 64  # pictures or captions at once, which bounds the memory


class Scorer:
    """A trained CLIP.

    Attributes:
        model: the two encoders.
        tokenizer: of captions.
        preprocessing: from a picture to what the model reads.
    """

    def __init__(self, model: CLIP, tokenizer: Tokenizer, preprocessing: Preprocessing) -> None:
        self.model, self.tokenizer, self.preprocessing = model.eval(), tokenizer, preprocessing

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> "Scorer":
        """Read a model folder.

        Args:
            folder: holds config.json, weights and a tokenizer.
            device: where to run; the GPU if there is one unless given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        config, where = read_config(folder), str(folder / CONFIG)
        if not all(isinstance(config.get(name), dict) for name in ("model", "preprocessing")):
            raise QkvError(f"{where} lacks model or preprocessing: it is no scorer's")
        sizes = parse(CLIPConfig, config["model"], f"{where}: model")
        preprocessing = parse(Preprocessing, config["preprocessing"], f"{where}: preprocessing")
        tokenizer = Tokenizer.load(folder / "tokenizer.model")
        read = (len(tokenizer), preprocessing.size, preprocessing.channels)
        if read != (config.get("vocabulary"), sizes.image.image_size, sizes.image.channels):
            raise QkvError(f"{where}: vocabulary or size of a picture do not fit together; restore the folder")
        model = CLIP(sizes, len(tokenizer))
        set_weights(model, read_weights(folder), str(folder))
        return cls(model.to(inference_device(device)), tokenizer, preprocessing)

    def score(self, pictures: Picture | Sequence[Picture], captions: str | Sequence[str]) -> Float[Tensor, "P C"]:
        """How well each picture goes with each caption.

        Args:
            pictures: a picture or a list of them.
            captions: a caption or a list of them.

        Returns:
            Cosine similarities, from -1 to 1: a picture a row, a caption a column. Only their order means something: a
            model tells right from wrong at what scale it likes.

        Raises:
            QkvError: a picture cannot be read, or a caption is empty or too long.
        """
        shown = [pictures] if isinstance(pictures, str | Path | bytes | Image.Image | np.ndarray) else pictures
        said = [captions] if isinstance(captions, str) else captions
        return self.embed_pictures(shown) @ self.embed_captions(said).T

    def judge(self, caption: str, images: Sequence[Image.Image]) -> list[float]:
        """The cosine of each picture with a caption, as `Judge` says.

        Raises:
            QkvError: the caption is empty or too long.
        """
        return self.score(list(images), caption)[:, 0].tolist()

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[Picture]) -> Float[Tensor, "P E"]:
        """Pictures as vectors of length 1, whose products with those of captions are what `score` gives.

        Raises:
            QkvError: a picture cannot be read; the message names it.
        """
        found = [torch.empty(0, self.model.config.d_shared)]
        for start in range(0, len(pictures), _BATCH):
            pixels = torch.stack([self._pixels(picture) for picture in pictures[start : start + _BATCH]])
            found.append(self.model.embed_images(pixels.to(self.model.log_scale.device)).cpu())
        return torch.cat(found)

    @torch.inference_mode()
    def embed_captions(self, captions: Sequence[str]) -> Float[Tensor, "C E"]:
        """Captions as vectors of length 1.

        Raises:
            QkvError: a caption is empty or too long; the message names it.
        """
        device = self.model.log_scale.device
        read = read_captions(captions, self.tokenizer, self.model.config.text.text_length)
        found = [torch.empty(0, self.model.config.d_shared)]
        for tokens, lengths in zip(*(part.to(device).split(_BATCH) for part in read), strict=True):
            found.append(self.model.embed_captions(tokens, lengths).cpu())
        return torch.cat(found)

    def _pixels(self, picture: Picture) -> Float[Tensor, "C H W"]:
        return self.preprocessing(open_picture(picture, self.preprocessing.channels, self.preprocessing.shorter_side))
