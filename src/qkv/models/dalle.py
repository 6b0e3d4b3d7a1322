"""DALL-E's decoder: a caption in, the codes of a picture out, token by token (Ramesh et al. 2021, section 2.2)."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qkv.config import check_range
from qkv.errors import shown
from qkv.models.weights import initialise
from qkv.nn import KVCache, LearnedPositions, Recorder, Transformer, TransformerConfig, sparse_mask
from qkv.nn.mask import SparsePattern
from qkv.nn.transformer import Activation

Pattern = Literal["full", SparsePattern]

_LONGEST = 2**14  # positions; a mask of what each sees takes as many bytes, squared


@dataclass(frozen=True, kw_only=True)
class DalleConfig(TransformerConfig):
    """Sizes and choices of the decoder.

    Attributes:
        text_length: tokens that a caption is padded to.
        grid: image tokens along a side of a picture.
        attention: what an image token sees of the image before it, layer by layer; repeated until all layers have one.
            `full` is everything, the others see less (`sparse_mask`). The paper's is row, column, row, row over and
            over, and `convolution` in the last layer (appendix B.1).
        kernel: side of the square that `convolution` looks at, odd.
    """

    text_length: int = 64
    grid: int = 16
    attention: tuple[Pattern, ...] = ("full",)
    kernel: int = 11
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, _LONGEST, "text_length")
        check_range(self, 1, math.isqrt(_LONGEST), "grid")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be a positive odd number, not {self.kernel}")
        if (positions := self.text_length + self.image_length) > _LONGEST:
            raise ValueError(f"text_length and grid² make {positions:,} positions together, above {_LONGEST:,}")
        patterns = ("full", *get_args(SparsePattern))
        if not self.attention or not set(self.attention) <= set(patterns):
            listed = shown(list(self.attention))
            raise ValueError(f"attention must list one or more of {', '.join(patterns)}, not {listed}")

    @property
    def image_length(self) -> int:
        """Image tokens of a picture."""
        return self.grid**2

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The pattern of each layer."""
        return tuple(self.attention[layer % len(self.attention)] for layer in range(self.n_layers))


class Dalle(nn.Module):
    """One stack over one sequence: begin, the padded caption, begin of image, the image tokens row by row.

    Where a position of the caption has no token, it has a learned vector of its own in place of one (section 2.2); the
    first position never has a token, so that its vector begins the sequence. A caption of no tokens stands for no
    caption at all, as guidance needs it. There are `vocabulary` text tokens and `codes` image tokens.

    Attributes:
        begin: the token that begins an image. It is read and never written, so that it also serves as the `end_id` of
            `qkv.generation.generate`: a picture ends where its last token is, at `max_length`.
    """

    def __init__(self, config: DalleConfig, vocabulary: int, codes: int) -> None:
        super().__init__()
        self.config, self.begin = config, codes
        self.text_embedding = nn.Embedding(vocabulary, config.d_model)
        self.image_embedding = nn.Embedding(codes + 1, config.d_model)
        self.blanks = LearnedPositions(config.d_model, 1 + config.text_length)
        self.text_positions = LearnedPositions(config.d_model, 1 + config.text_length)
        self.rows = LearnedPositions(config.d_model, config.grid)
        self.columns = LearnedPositions(config.d_model, config.grid)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = Transformer(config)
        self.text_head = nn.Linear(config.d_model, vocabulary)
        self.image_head = nn.Linear(config.d_model, codes)
        if not torch.empty(0).is_meta:  # else `build` makes them, once the sizes are known to be those of weights
            self.make_buffers()
        initialise(self)

    def make_buffers(self) -> None:
        """Compute what each layer sees of the image, which is not stored with the weights."""
        sizes = self.config
        for pattern in dict.fromkeys(sizes.patterns):  # no set: all processes must hold their buffers in one order
            if pattern != "full":
                # All that comes before the first code counts as text: begin, caption, begin of image.
                mask = sparse_mask(pattern, sizes.text_length + 2, sizes.grid, sizes.kernel)
                self.register_buffer(f"{pattern}_mask", mask, persistent=False)

    def forward(
        self,
        captions: Int[Tensor, "B T"],
        lengths: Int[Tensor, "B"],
        codes: Int[Tensor, "B N"],
        recorder: Recorder | None = None,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B N K"]]:
        """Logits of every token of the caption and of the image, each from what stands before it.

        Args:
            captions: text tokens, padded on the right; what stands behind `lengths` is not read.
            lengths: real tokens of each caption, from none to `text_length`.
            codes: image tokens, row by row from the first; all of a picture, or fewer.
            recorder: called with (layer, "self", weights [B, heads, S, S]). The first 1 + `text_length` of the S
                positions are begin and caption, the next N hold begin of image and all codes but the last.

        Returns:
            Text logits and image logits. Text logits behind `lengths` mean nothing.

        Raises:
            ValueError: captions or codes are longer than the model's.
        """
        text = self._embed_caption(captions, lengths)
        image = self._embed_image(F.pad(codes[:, :-1], (1, 0), value=self.begin))
        x = self._decode(torch.cat([text, image], dim=1), recorder=recorder)
        return self.text_head(x[:, : captions.shape[1]]), self.image_head(x[:, text.shape[1] :])

    def start(self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], max_length: int) -> KVCache:
        """Read captions as `forward` does; then `decode` up to `max_length` image tokens, `begin` first."""
        text = self._embed_caption(captions, lengths)
        cache = KVCache(self.config.n_layers, text.shape[1] + max_length)
        self._decode(text, cache)
        return cache

    def decode(self, tokens: Int[Tensor, "B T"], state: KVCache) -> Float[Tensor, "B K"]:
        """Append image tokens to each row's past; logits of the next. ValueError if picture or cache is full."""
        x = self._embed_image(tokens, state.length - self.config.text_length - 1)
        return self.image_head(self._decode(x, state)[:, -1])

    def _embed_caption(self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B S D"]:
        length = self.config.text_length
        if captions.shape[1] > length:
            raise ValueError(f"a caption of {captions.shape[1]} tokens is longer than text_length, {length}")
        tokens = self.text_embedding(F.pad(captions, (1, length - captions.shape[1])))
        position = torch.arange(1 + length, device=lengths.device)
        has_token = (position > 0) & (position <= lengths[:, None])
        x = torch.where(has_token[..., None], tokens, self.blanks(1 + length))
        return self.dropout(x + self.text_positions(1 + length))

    def _embed_image(self, tokens: Int[Tensor, "B T"], start: int = 0) -> Float[Tensor, "B T D"]:
        end, length = start + tokens.shape[1], self.config.image_length
        if end > length:
            raise ValueError(f"a picture has {length} tokens and position {end} is beyond them")
        grid = (self.rows.table[:, None] + self.columns.table).flatten(0, 1)
        positions = F.pad(grid, (0, 0, 1, 0))[start:end]  # begin has no place in the grid
        return self.dropout(self.image_embedding(tokens) + positions)

    def _decode(
        self, x: Float[Tensor, "B T D"], cache: KVCache | None = None, recorder: Recorder | None = None
    ) -> Float[Tensor, "B T D"]:
        start = 0 if cache is None else cache.length
        masks = [self._mask(pattern, start, start + x.shape[1]) for pattern in self.config.patterns]
        x = self.decoder(x, mask=masks, is_causal=True, cache=cache, recorder=recorder)
        if cache is not None:
            cache.advance(x.shape[1])
        return x

    def _mask(self, pattern: Pattern, start: int, end: int) -> Bool[Tensor, "T S"] | None:
        return None if pattern == "full" else self.get_buffer(f"{pattern}_mask")[start:end, :end]
