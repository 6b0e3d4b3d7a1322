"""The Vision Transformer: a picture's patches in, logits over classes out (Dosovitskiy et al. 2020, figure 1)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qkv.config import DEEPEST, LARGEST_IMAGE, MOST_HALVINGS, WIDEST, check_range
from qkv.errors import shown
from qkv.models.layout import channels_last
from qkv.models.weights import initialise
from qkv.nn import Recorder, Transformer, TransformerConfig, grid_sinusoids, resample_grid
from qkv.nn.transformer import Activation

Pool = Literal["class", "mean", "sequence"]
GridPositions = Literal["learned", "sinusoidal"]


@dataclass(frozen=True, kw_only=True)
class ViTConfig(TransformerConfig):
    """Sizes and choices of a Vision Transformer.

    Attributes:
        image_size: pixels of a side that it is trained for.
        channels: 3 for colour, 1 for grey.
        stem: channels of 3 x 3 convolutions before the patches are cut, each with a ReLU and a max-pooling that halves
            the picture (the tokenizer of Compact Convolutional Transformers, Hassani et al. 2021, section 3.3).
        stem_depth: such convolutions, each with its ReLU, before each halving.
        patch_size: pixels of a patch's side, of what the stem leaves.
        pool: what the classes are read from: a `class` token, the `mean` of all patches, or their average weighted by
            a learned attention (`sequence`, Hassani et al. 2021, section 3.2).
        positions: `learned` ones are resampled for pictures of another size; `sinusoidal` ones tell row and column.
        antialias: how learned positions are resampled; see `resample_grid`.
    """

    image_size: int = 224
    channels: int = 3
    stem: tuple[int, ...] = ()
    stem_depth: int = 1
    patch_size: int = 16
    pool: Pool = "class"
    positions: GridPositions = "learned"
    antialias: bool = True
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, LARGEST_IMAGE, "image_size", "patch_size")
        check_range(self, 1, WIDEST, "channels")
        check_range(self, 1, DEEPEST, "stem_depth")
        if len(self.stem) > MOST_HALVINGS or not all(1 <= width <= WIDEST for width in self.stem):
            most = f"up to {MOST_HALVINGS} positive numbers of channels, none above {WIDEST:,}"
            raise ValueError(f"stem must hold {most}, not {shown(list(self.stem))}")
        if self.image_size % self.cell:
            raise ValueError(f"image_size ({self.image_size}) must be a multiple of {self.cell}, the side of a patch")
        for name, choices in (("pool", Pool), ("positions", GridPositions)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, not {getattr(self, name)!r}")
        if self.positions == "sinusoidal" and self.d_model % 4:
            raise ValueError(f"sinusoidal positions need a d_model that is a multiple of 4, not {self.d_model}")

    @property
    def cell(self) -> int:
        """Pixels of the picture that the side of a patch covers."""
        return self.patch_size * 2 ** len(self.stem)

    @property
    def grid(self) -> int:
        """Patches along a side of a picture of `image_size`."""
        return self.image_size // self.cell


class ViT(nn.Module):
    """Patches, positions, encoder, pooling, head."""

    def __init__(self, config: ViTConfig, n_classes: int) -> None:
        super().__init__()
        self.config = config
        widths = (config.channels, *config.stem)
        self.stem = nn.Sequential(*(_halving(inner, outer, config.stem_depth) for inner, outer in pairwise(widths)))
        self.patches = nn.Conv2d(widths[-1], config.d_model, config.patch_size, stride=config.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, config.d_model)) if config.pool == "class" else None
        # Row 0 is the class token's, if there is one; then the grid, row by row.
        rows = config.grid**2 + (self.class_token is not None)
        learned = config.positions == "learned"
        self.positions = nn.Parameter(torch.empty(rows, config.d_model)) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Transformer(config)
        self.pool = nn.Linear(config.d_model, 1) if config.pool == "sequence" else None
        self.head = nn.Linear(config.d_model, n_classes)
        initialise(self)
        for table in (self.class_token, self.positions):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Float[Tensor, "B C H W"], recorder: Recorder | None = None) -> Float[Tensor, "B K"]:
        """Logits of each class.

        Args:
            images: normalised pictures; H and W may differ from `image_size` and from each other.
            recorder: called with (layer, "self", weights [B, heads, T, T]); the class token, if any, is the first of T.
        """
        return self.head(self.features(images, recorder))

    def features(self, images: Float[Tensor, "B C H W"], recorder: Recorder | None = None) -> Float[Tensor, "B D"]:
        """What the head reads: one vector a picture."""
        x = self.encoder(self.embed(images), recorder=recorder)
        return x[:, 0] if self.class_token is not None else (self.pooling(x)[..., None] * x).sum(dim=1)

    def widest(self, images: Float[Tensor, "B C H W"]) -> int:
        """Numbers in the widest activation of a layer, of one picture."""
        return images[0, 0].numel() // self.config.cell**2 * self.config.d_ff

    def pooling(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T"]:
        """How much of each token `features` reads; every row sums to 1."""
        if self.pool is not None:
            return self.pool(x)[..., 0].softmax(dim=1)
        if self.class_token is None:
            return x.new_full(x.shape[:2], 1 / x.shape[1])
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[0].expand(x.shape[0], -1)

    def embed(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B T D"]:
        """Patches as tokens, the class token in front, positions added (equation 1).

        Raises:
            ValueError: a side of the pictures is no multiple of a patch's.
        """
        height, width = images.shape[2:]
        if height % self.config.cell or width % self.config.cell:
            raise ValueError(f"sides of {height} x {width} pixels must be multiples of {self.config.cell}")
        grid = self.patches(self.stem(channels_last(images)) if self.stem else images)
        x = grid.flatten(2).transpose(1, 2)
        positions = self._grid_positions(*grid.shape[2:]).to(x)
        if self.class_token is not None:
            first = self.class_token if self.positions is None else self.class_token + self.positions[:1]
            return self.dropout(torch.cat([first.expand(x.shape[0], -1, -1), x + positions], dim=1))
        return self.dropout(x + positions)

    def _grid_positions(self, rows: int, columns: int) -> Float[Tensor, "N D"]:
        if self.positions is None:
            return grid_sinusoids(rows, columns, self.config.d_model)
        table = self.positions[self.class_token is not None :]
        return resample_grid(table, rows, columns, self.config.antialias)


def _halving(inner: int, outer: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inner, *[outer] * (depth - 1)):
        layers += [nn.Conv2d(width, outer, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, padding=1))
