"""The Transformer's stack (Vaswani et al. 2017, figure 1 and section 3.1): one class for encoder and decoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qkv.config import DEEPEST, WIDEST, check_range
from qkv.nn.attention import KVCache, LayerCache, MultiHeadAttention, Recorder

Activation = Literal["relu", "gelu", "silu"]
NormOrder = Literal["pre", "post"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes and choices of one stack.

    Attributes:
        d_model: width of every position's vector.
        n_heads: attention heads.
        n_layers: blocks.
        d_ff: inner width of the feed-forward layer.
        d_key: width of one head's queries and keys; d_model / n_heads if None.
        d_value: width of one head's values; d_model / n_heads if None.
        dropout: on the output of each sub-layer and on embeddings (section 5.4).
        attention_dropout: on the attention weights.
        activation_dropout: inside the feed-forward layer.
        drop_path: probability of leaving out a sub-layer of the last block for an example; it grows linearly from zero
            at the first block (stochastic depth, Huang et al. 2016).
        activation: of the feed-forward layer; the paper's is relu.
        norm_eps: added to the variance in every LayerNorm.
        norm: `post` is LayerNorm(x + f(x)) as in the paper; `pre` is x + f(LayerNorm(x)) with one last norm.
    """

    d_model: int = 256
    n_heads: int = 4
    n_layers: int = 4
    d_ff: int = 1024
    d_key: int | None = None
    d_value: int | None = None
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    drop_path: float = 0.0
    activation: Activation = "relu"
    norm_eps: float = 1e-5
    norm: NormOrder = "pre"

    def __post_init__(self) -> None:
        check_range(self, 1, WIDEST, "d_model", "n_heads", "d_ff", "d_key", "d_value")
        check_range(self, 1, DEEPEST, "n_layers")
        if self.d_model % self.n_heads and (self.d_key is None or self.d_value is None):
            raise ValueError(
                f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads}), or give d_key and d_value"
            )
        for name in ("dropout", "attention_dropout", "activation_dropout", "drop_path"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not self.norm_eps > 0:
            raise ValueError(f"norm_eps must be positive, not {self.norm_eps}")
        for name, choices in (("activation", Activation), ("norm", NormOrder)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, not {getattr(self, name)!r}")


class FeedForward(nn.Module):
    """Two linear layers applied to each position alone (equation 2)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.d_model, config.d_ff)
        self.outer = nn.Linear(config.d_ff, config.d_model)
        self.activation = getattr(F, config.activation)
        self.dropout = nn.Dropout(config.activation_dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """[B, T, D] -> [B, T, d_ff] -> [B, T, D]."""
        return self.outer(self.hidden(x))

    def hidden(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T F"]:
        """What the outer layer reads."""
        return self.dropout(self.activation(self.inner(x)))


class Block(nn.Module):
    """Self-attention, cross-attention if `cross`, and feed-forward, each with a residual and a norm (section 3.1)."""

    def __init__(self, config: TransformerConfig, cross: bool = False, drop_path: float = 0.0) -> None:
        super().__init__()
        self.cross, self.pre_norm, self.drop_path = cross, config.norm == "pre", drop_path
        widths = {"d_key": config.d_key, "d_value": config.d_value, "dropout": config.attention_dropout}
        self.self_attention = MultiHeadAttention(config.d_model, config.n_heads, **widths)
        self.self_norm = nn.LayerNorm(config.d_model, config.norm_eps)
        if cross:
            self.cross_attention = MultiHeadAttention(config.d_model, config.n_heads, **widths)
            self.cross_norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"] | None = None,
        *,
        query_pos: Float[Tensor, "... T D"] | None = None,
        key_pos: Float[Tensor, "... S D"] | None = None,
        mask: Bool[Tensor, "... #T T2"] | None = None,
        context_mask: Bool[Tensor, "... #T S"] | None = None,
        is_causal: bool = False,
        cache: LayerCache | None = None,
        recorder: Recorder | None = None,
    ) -> Float[Tensor, "B T D"]:
        """One layer; see `Transformer.forward` for the arguments."""
        tell_self = None if recorder is None else partial(recorder, "self")
        tell_cross = None if recorder is None else partial(recorder, "cross")

        def attend_self(y: Tensor) -> Tensor:
            places = {"query_pos": query_pos, "key_pos": query_pos, "mask": mask, "is_causal": is_causal}
            return self.self_attention(y, **places, cache=cache, recorder=tell_self)

        def attend_context(y: Tensor) -> Tensor:
            places = {"query_pos": query_pos, "key_pos": key_pos, "mask": context_mask}
            return self.cross_attention(y, context, **places, cache=cache, recorder=tell_cross)

        if self.cross != (context is not None):
            raise ValueError("a block reads a context exactly if it was made with cross=True")
        x = self._residual(x, attend_self, self.self_norm)
        if self.cross:
            x = self._residual(x, attend_context, self.cross_norm)
        return self._residual(x, self.feed_forward, self.feed_forward_norm)

    def _residual(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: nn.LayerNorm) -> Tensor:
        if self.pre_norm:
            return x + self._drop(self.dropout(sublayer(norm(x))))
        return norm(x + self._drop(self.dropout(sublayer(x))))

    def _drop(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        if not self.training or not self.drop_path:
            return x
        kept = x.new_empty(len(x), 1, 1).bernoulli_(1 - self.drop_path)
        return x * kept / (1 - self.drop_path)  # the expectation stays what it is without dropping


class Transformer(nn.Module):
    """A stack of blocks: an encoder, a decoder-only model, or with `cross` a decoder that reads a context."""

    def __init__(self, config: TransformerConfig, cross: bool = False) -> None:
        super().__init__()
        self.config = config
        rates = [config.drop_path * layer / max(config.n_layers - 1, 1) for layer in range(config.n_layers)]
        self.blocks = nn.ModuleList(Block(config, cross, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.d_model, config.norm_eps) if config.norm == "pre" else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"] | None = None,
        *,
        query_pos: Float[Tensor, "... T D"] | None = None,
        key_pos: Float[Tensor, "... S D"] | None = None,
        mask: Bool[Tensor, "... #T T2"] | Sequence[Bool[Tensor, "... #T T2"] | None] | None = None,
        context_mask: Bool[Tensor, "... #T S"] | None = None,
        is_causal: bool = False,
        cache: KVCache | None = None,
        recorder: Recorder | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Run all blocks.

        Args:
            x: embedded positions.
            context: the last encoder layer's output, read by every block.
            query_pos: added to queries (and self-attention's keys) in every block; never to values.
            key_pos: added to the context's keys in every block.
            mask: for self-attention, True = may attend; for all blocks, or one for each.
            context_mask: for cross-attention.
            is_causal: no position sees a later one.
            cache: holds earlier positions; the caller advances it.
            recorder: called with (layer, "self" or "cross", weights [B, H, T, S]) for every attention.
        """
        masks = mask if isinstance(mask, Sequence) else [mask] * len(self.blocks)
        for layer, (block, layer_mask) in enumerate(zip(self.blocks, masks, strict=True)):
            x = block(
                x,
                context,
                query_pos=query_pos,
                key_pos=key_pos,
                mask=layer_mask,
                context_mask=context_mask,
                is_causal=is_causal,
                cache=None if cache is None else cache.layers[layer],
                recorder=None if recorder is None else partial(recorder, layer),
            )
        return self.norm(x)
