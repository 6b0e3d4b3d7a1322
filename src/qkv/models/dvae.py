"""The discrete VAE: a picture becomes a small grid of codes, and a picture again (Ramesh et al. 2021, section 2.1)."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor, nn

from qkv.config import DEEPEST, LARGEST_IMAGE, MOST_HALVINGS, WIDEST, check_range
from qkv.models.layout import channels_last
from qkv.models.quantiser import GumbelQuantiser, VectorQuantiser, look_up

Quantiser = Literal["gumbel", "vq"]
Reconstruction = Literal["logit_laplace", "mse", "l1"]

_MARGIN = 0.1
"""Pixels are squeezed away from 0 and 1, whose logits are infinite (Ramesh et al. 2021, appendix A.3)."""
_LEAST_LOG_SCALE = math.log(4 * (1 - 2 * _MARGIN) / 255)
"""The step between two bytes, as logits: a narrower distribution would be paid for hitting the very byte."""


@dataclass(frozen=True, kw_only=True)
class DVAEConfig:
    """Sizes and choices of a discrete VAE.

    Attributes:
        image_size: pixels of a side that it is trained for.
        channels: 3 for colour, 1 for grey.
        codes: size of the codebook.
        d_code: width of a code's vector.
        width: channels after the first halving; each further one doubles them.
        downsamplings: how often the picture is halved: a code stands for 2^downsamplings pixels each way.
        blocks: residual blocks after each halving, and before each doubling.
        quantiser: `gumbel` draws codes with a relaxation (Ramesh et al. 2021), `vq` takes the nearest one (van den Oord
            et al. 2017).
        reconstruction: what the decoder tells of a pixel: where and how sure (`logit_laplace`), or a value that is
            compared by squared (`mse`) or absolute (`l1`) difference.
        decay: of the moving averages that codes of `vq` follow; shorter trainings want less.
    """

    image_size: int = 256
    channels: int = 3
    codes: int = 1024
    d_code: int = 64
    width: int = 64
    downsamplings: int = 3
    blocks: int = 2
    quantiser: Quantiser = "gumbel"
    reconstruction: Reconstruction = "logit_laplace"
    decay: float = 0.99

    def __post_init__(self) -> None:
        check_range(self, 1, LARGEST_IMAGE, "image_size")
        check_range(self, 1, WIDEST, "channels", "d_code", "width")
        check_range(self, 1, MOST_HALVINGS, "downsamplings")
        check_range(self, 1, DEEPEST, "blocks")
        check_range(self, 2, 2**24, "codes")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, not {self.decay}")
        if self.image_size % self.cell:
            raise ValueError(f"image_size ({self.image_size}) must be a multiple of {self.cell}, the side of a code")
        for name, choices in (("quantiser", Quantiser), ("reconstruction", Reconstruction)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, not {getattr(self, name)!r}")

    @property
    def cell(self) -> int:
        """Pixels of the picture that the side of a code covers."""
        return 2**self.downsamplings

    @property
    def grid(self) -> int:
        """Codes along a side of a picture of `image_size`."""
        return self.image_size // self.cell

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each halving."""
        return tuple(self.width * 2**level for level in range(self.downsamplings))


@dataclass(frozen=True)
class DVAEOutput:
    """What the loss is computed from.

    Attributes:
        mean: middle of each pixel's distribution; for `logit_laplace` a logit, of `squeeze`.
        log_scale: how wide that is, for `logit_laplace` alone.
        codes: of each place.
        penalty: of each place, to be small: in nats (`gumbel`) or a squared distance (`vq`)
    """

    mean: Float[Tensor, "B C H W"]
    log_scale: Float[Tensor, "B C H W"] | None
    codes: Int[Tensor, "B h w"]
    penalty: Float[Tensor, "B h w"]


class DVAE(nn.Module):
    """Encoder, quantiser, decoder.

    Halvings are strided convolutions and blocks are residual (van den Oord et al. 2017, section 4.1), widths double as
    in Ramesh et al. 2021 (appendix A.1): nothing is computed at the full resolution, where it costs most.
    """

    def __init__(self, config: DVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        sizes = (config.widths[-1], config.codes, config.d_code)
        vq = config.quantiser == "vq"
        self.quantiser = VectorQuantiser(*sizes, config.decay) if vq else GumbelQuantiser(*sizes)
        self.decoder = _decoder(config)

    def forward(self, images: Float[Tensor, "B C H W"], temperature: float | Float[Tensor, ""] = 1.0) -> DVAEOutput:
        """Reconstruct pictures.

        Args:
            images: from 0 to 1; H and W may differ from `image_size` and from each other.
            temperature: of the relaxation, in training with the quantiser `gumbel`.

        Raises:
            ValueError: a side of the pictures is no multiple of a code's.
        """
        relaxation = (temperature,) if isinstance(self.quantiser, GumbelQuantiser) else ()
        quantised = self.quantiser(self._features(images), *relaxation)
        return DVAEOutput(*self._pixels(quantised.vectors), quantised.codes, quantised.penalty)

    def encode(self, images: Float[Tensor, "B C H W"]) -> Int[Tensor, "B h w"]:
        """The codes of pictures from 0 to 1; ValueError as in `forward`."""
        return self.quantiser.encode(self._features(images))

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B C H W"]:
        """Pictures from 0 to 1."""
        mean, _ = self._pixels(look_up(self.quantiser.codebook, codes))
        return self.images(mean)

    def images(self, mean: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Pictures from 0 to 1 of the `mean` of an output."""
        if self.config.reconstruction == "logit_laplace":
            mean = (mean.sigmoid() - _MARGIN) / (1 - 2 * _MARGIN)
        return mean.clamp(0, 1)

    def _features(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F h w"]:
        height, width = images.shape[2:]
        if height % self.config.cell or width % self.config.cell:
            raise ValueError(f"sides of {height} x {width} pixels must be multiples of {self.config.cell}")
        return self.encoder(channels_last(2 * images - 1))

    def _pixels(
        self, vectors: Float[Tensor, "B D h w"]
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"] | None]:
        values = self.decoder(vectors).float()
        if self.config.reconstruction != "logit_laplace":
            return values, None
        mean, log_scale = values.chunk(2, dim=1)
        return mean, _LEAST_LOG_SCALE + nn.functional.softplus(log_scale - _LEAST_LOG_SCALE)


def squeeze(images: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Pixels from 0 to 1 as `logit_laplace` models them, from 0.1 to 0.9 (Ramesh et al. 2021, appendix A.3)."""
    return (1 - 2 * _MARGIN) * images + _MARGIN


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Float[Tensor, "B F h w"]) -> Float[Tensor, "B F h w"]:
        return x + self.branch(x)


def _encoder(config: DVAEConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise((config.channels, *config.widths)):
        layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), *(_Residual(outer) for _ in range(config.blocks))]
    return nn.Sequential(*layers, nn.ReLU())


def _decoder(config: DVAEConfig) -> nn.Sequential:
    outputs = config.channels * (2 if config.reconstruction == "logit_laplace" else 1)
    layers: list[nn.Module] = [nn.Conv2d(config.d_code, config.widths[-1], 3, padding=1)]
    for inner, outer in pairwise((*reversed(config.widths), outputs)):
        layers += [*(_Residual(inner) for _ in range(config.blocks)), nn.ReLU()]
        layers += [nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)
