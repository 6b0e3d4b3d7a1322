"""How well pictures and captions go together: tokenizer, preprocessing and CLIP behind `score`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.text.padding import read_captions
from qkv.data.text.tokenizer import Tokenizer
from qkv.model_directory import read_saved, read_weights
from qkv.models.clip import CLIP
from qkv.models.weights import build
from qkv.runtime.device import Device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.arguments import checked, pictures, texts
from qkv.systems.scorer.saved import Saved
from qkv.systems.showing import ShownModel
from qkv.systems.tokenizer import load_tokenizer

_BATCH = 64  # pictures or captions at once, which bounds the memory


class Scorer(ShownModel[CLIP]):
    """A trained CLIP.

    Attributes:
        model: the two encoders.
        tokenizer: of captions.
        preprocessing: from a picture to what the model reads.
    """

    def __init__(self, saved: Saved, tokenizer: Tokenizer, engine: Engine[CLIP]) -> None:
        self.knows = saved.knows
        self.tokenizer, self.preprocessing = tokenizer, saved.preprocessing
        self.model, self._engine = engine.model, engine

    @classmethod
    @checked
    def load(cls, folder: Path, device: Device | None = None) -> "Scorer":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        tokenizer = load_tokenizer(folder, saved.vocabulary)
        model = build(lambda: CLIP(saved.model, len(tokenizer)), read_weights(folder), str(folder))
        return cls(saved, tokenizer, open_engine(model, device))

    @checked
    def score(self, images: Picture | Iterable[Picture], captions: str | Iterable[str]) -> Float[Tensor, "P C"]:
        """How well each picture goes with each caption: cosine similarities, from -1 to 1.

        Only their order means something: a model tells right from wrong at what scale it likes.

        Raises:
            QkvError: a picture cannot be read, or a caption is missing, empty or too long; the message names it.
        """
        return self.embed_pictures(images) @ self.embed_captions(captions).T

    def judge(self, caption: str, images: Sequence[Image.Image]) -> list[float]:
        """The cosine of each picture with a caption, as `Judge` says."""
        return self.score(list(images), caption)[:, 0].tolist()

    @checked
    def embed_pictures(self, images: Picture | Iterable[Picture]) -> Float[Tensor, "P E"]:
        """Pictures as vectors of length 1; errors as of `score`, whose cosines are their products with captions'."""
        given, _ = pictures(images)
        found, how = [torch.empty(0, self.model.config.d_shared)], self.preprocessing
        for start in range(0, len(given), _BATCH):
            part = (open_picture(one, how.channels, how.shorter_side) for one in given[start : start + _BATCH])
            found.append(self.embed_images(torch.stack(list(map(how, part)))))
        return torch.cat(found)

    @checked
    def embed_captions(self, captions: str | Iterable[str]) -> Float[Tensor, "C E"]:
        """Captions as vectors of length 1; errors as of `score`."""
        read = read_captions(texts(captions, "caption")[0], self.tokenizer, self.model.config.text.text_length)
        found = [torch.empty(0, self.model.config.d_shared)]
        parts = zip(*(part.split(_BATCH) for part in read), strict=True)
        return torch.cat(found + [self.embed_tokens(tokens, lengths) for tokens, lengths in parts])

    def embed_images(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B E"]:
        """The same of pictures that are preprocessed already, in one batch."""
        return self._engine.call(self.model.embed_images, images).cpu()

    def embed_tokens(self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B E"]:
        """The same of captions that are tokens already, padded on the right, in one batch."""
        return self._engine.call(self.model.embed_captions, captions, lengths).cpu()


Pipeline = Scorer
