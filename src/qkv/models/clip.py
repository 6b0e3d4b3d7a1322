"""CLIP: pictures and captions in one space, near each other where they belong together (Radford et al. 2021)."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from qkv.config import WIDEST, check_range
from qkv.models.vit import ViT, ViTConfig
from qkv.models.weights import initialise
from qkv.nn import LearnedPositions, Transformer, TransformerConfig
from qkv.nn.transformer import Activation

_FIRST_SCALE, _MOST_SCALE = 1 / 0.07, 100.0  # section 2.5


@dataclass(frozen=True, kw_only=True)
class TextConfig(TransformerConfig):
    """Sizes and choices of the encoder of captions.

    Attributes:
        text_length: most tokens of a caption.
    """

    text_length: int = 64
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, 2**16, "text_length")


@dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Sizes and choices of the two encoders.

    Attributes:
        image: of the encoder of pictures.
        text: of the encoder of captions.
        d_shared: width of the space that both are projected to.
    """

    image: ViTConfig = field(default_factory=ViTConfig)
    text: TextConfig = field(default_factory=TextConfig)
    d_shared: int = 256

    def __post_init__(self) -> None:
        check_range(self, 1, WIDEST, "d_shared")


class TextEncoder(nn.Module):
    """Tokens, positions, encoder, head (section 2.4).

    As in the paper a position sees none behind it, so that the vector at the end token, which the model adds and the
    head reads, has seen the whole caption and none of its padding.
    """

    def __init__(self, config: TextConfig, vocabulary: int, d_out: int) -> None:
        super().__init__()
        self.config, self.end = config, vocabulary
        self.embedding = nn.Embedding(vocabulary + 1, config.d_model)
        self.positions = LearnedPositions(config.d_model, config.text_length + 1)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Transformer(config)
        self.head = nn.Linear(config.d_model, d_out, bias=False)
        initialise(self)

    def forward(self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B E"]:
        """One vector a caption, padded on the right; what stands behind its length is not read.

        Raises:
            ValueError: captions are longer than `text_length`.
        """
        if (length := captions.shape[1]) > self.config.text_length:
            raise ValueError(f"a caption of {length} tokens is longer than text_length, {self.config.text_length}")
        tokens = F.pad(captions, (0, 1)).scatter(1, lengths[:, None], self.end)
        x = self.dropout(self.embedding(tokens) + self.positions(tokens.shape[1]))
        x = self.encoder(x, is_causal=True)
        return self.head(x[torch.arange(len(x), device=x.device), lengths])


class CLIP(nn.Module):
    """Two encoders, and the scale of the cosines between what they give (figure 3).

    The head of either encoder is its projection to the shared space, without a bias.
    """

    def __init__(self, config: CLIPConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ViT(config.image, config.d_shared)
        self.image_encoder.head = nn.Linear(config.image.d_model, config.d_shared, bias=False)
        self.text_encoder = TextEncoder(config.text, vocabulary, config.d_shared)
        for head in (self.image_encoder.head, self.text_encoder.head):
            nn.init.normal_(head.weight, std=head.in_features**-0.5)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    def forward(
        self, images: Float[Tensor, "N C H W"], captions: Int[Tensor, "M T"], lengths: Int[Tensor, "M"]
    ) -> Float[Tensor, "N M"]:
        """How well each normalised picture goes with each caption, padded on the right: cosines, times the scale."""
        return self.logits(self.embed_images(images), self.embed_captions(captions, lengths))

    def embed_images(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
        """Pictures as points of the shared space, at distance 1 from its origin."""
        return F.normalize(self.image_encoder(images).float(), dim=1)

    def embed_captions(self, captions: Int[Tensor, "M T"], lengths: Int[Tensor, "M"]) -> Float[Tensor, "M E"]:
        """Captions as points of the shared space, at distance 1 from its origin."""
        return F.normalize(self.text_encoder(captions, lengths).float(), dim=1)

    def logits(self, images: Float[Tensor, "N E"], captions: Float[Tensor, "M E"]) -> Float[Tensor, "N M"]:
        """The same from points of the shared space."""
        return self.scale * images @ captions.T

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied by, the inverse of the temperature."""
        return self.log_scale.exp()

    @torch.no_grad()
    def clip_scale(self) -> None:
        """Take the scale back to 100 where a step has led beyond; training is unstable there (section 2.5)."""
        self.log_scale.clamp_(max=math.log(_MOST_SCALE))
