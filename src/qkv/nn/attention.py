"""Scaled dot-product and multi-head attention (Vaswani et al. 2017, section 3.2), and the cache for decoding."""

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qkv.nn.mask import causal_mask

Recorder = Callable[..., None]
"""Receives attention weights [B, H, T, S]. Each level binds its own name in front with `functools.partial`, so that a
recorder handed to a model is called as `recorder("decoder", layer, "self" or "cross", weights)`."""


def attend(
    query: Float[Tensor, "B H T K"],
    key: Float[Tensor, "B H S K"],
    value: Float[Tensor, "B H S V"],
    mask: Bool[Tensor, "... #T S"] | None = None,
    *,
    is_causal: bool = False,
    dropout: float = 0.0,
    recorder: Recorder | None = None,
) -> Float[Tensor, "B H T V"]:
    """softmax(QKᵀ/√d_key)V (equation 1).

    Args:
        query: what each of T positions looks for.
        key: what each of S positions offers; the same width K as the query.
        value: what is read there; its width V may differ from K.
        mask: True = may attend; broadcasts over batch, heads and queries.
        is_causal: position t sees keys up to t; needs T == S and no mask.
        dropout: probability of dropping an attention weight.
        recorder: called with the weights [B, H, T, S]; they are computed only then.
    """
    if recorder is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=is_causal)
    mask = causal_mask(query.shape[2], key.shape[2]) if is_causal else mask
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.to(scores.device), -math.inf)
    weights = scores.softmax(dim=-1)
    recorder(weights)
    return weights @ value


class KeyValueStore:
    """Keys and values of one attention, preallocated for `max_length` positions on first use."""

    def __init__(self, max_length: int | None = None) -> None:
        self.max_length = max_length
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def write(self, key: Tensor, value: Tensor, start: int) -> None:
        """Write T positions from `start` on; ValueError if the cache is full."""
        length = start + key.shape[2]
        if self.key is None or self.value is None:
            capacity = length if self.max_length is None else self.max_length
            self.key = key.new_empty(*key.shape[:2], capacity, key.shape[3])
            self.value = value.new_empty(*value.shape[:2], capacity, value.shape[3])
        if length > self.key.shape[2]:
            raise ValueError(f"the cache holds {self.key.shape[2]} positions, not {length}")
        self.key[:, :, start:length] = key
        self.value[:, :, start:length] = value

    def read(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """The first `length` keys and values, or all."""
        assert self.key is not None and self.value is not None, "read before write"
        return self.key[:, :, :length], self.value[:, :, :length]

    def reorder(self, rows: Int[Tensor, "B"], length: int | None = None) -> None:
        """Keep these batch rows, in this order; a row may be repeated or left out. Only `length` positions move."""
        if self.key is not None and self.value is not None:
            self.key, self.value = (_reordered(x, rows, length) for x in (self.key, self.value))


def _reordered(x: Float[Tensor, "B H S K"], rows: Int[Tensor, "N"], length: int | None) -> Float[Tensor, "N H S K"]:
    kept = x[rows, :, :length]
    if len(rows) != len(x):
        x = x.new_empty(len(rows), *x.shape[1:])
    x[:, :, :length] = kept
    return x


class LayerCache:
    """What one decoder layer remembers: its own past (grows) and the encoder's output (written once)."""

    def __init__(self, cache: "KVCache", max_length: int) -> None:
        self._cache = cache
        self.past = KeyValueStore(max_length)
        self.context = KeyValueStore()

    @property
    def length(self) -> int:
        """Positions already decoded."""
        return self._cache.length


class KVCache:
    """Keys and values of a whole stack while it decodes, owned by the caller.

    The caller hands it to `Transformer.forward`, which writes the new positions, at most `max_length` in all, and then
    calls `advance`.
    """

    def __init__(self, n_layers: int, max_length: int) -> None:
        self.length = 0
        self.layers = [LayerCache(self, max_length) for _ in range(n_layers)]

    def advance(self, n: int) -> None:
        """Count `n` written positions as decoded."""
        self.length += n

    def reorder(self, rows: Int[Tensor, "B"], *, context: bool = True) -> None:
        """Keep these batch rows, in this order: beams that survive, sentences that are not finished.

        Args:
            rows: a row may be repeated or left out.
            context: whether the contexts move too; they need not where each row's new context equals its old one.
        """
        for layer in self.layers:
            layer.past.reorder(rows, self.length)
            if context:
                layer.context.reorder(rows)


class MultiHeadAttention(nn.Module):
    """h attentions side by side, each on its own projection of the model width (section 3.2.2).

    Args:
        d_model: width D of input and output.
        n_heads: number of heads H.
        d_key: width of one head's queries and keys; D/H if None.
        d_value: width of one head's values; D/H if None.
        dropout: on the attention weights, in training.
    """

    def __init__(
        self, d_model: int, n_heads: int, *, d_key: int | None = None, d_value: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        d_key = d_model // n_heads if d_key is None else d_key
        d_value = d_model // n_heads if d_value is None else d_value
        self.query = nn.Linear(d_model, n_heads * d_key)
        self.key = nn.Linear(d_model, n_heads * d_key)
        self.value = nn.Linear(d_model, n_heads * d_value)
        self.output = nn.Linear(n_heads * d_value, d_model)

    def forward(
        self, x: Float[Tensor, "B T D"], context: Float[Tensor, "B S D"] | None = None, **options: Any
    ) -> Float[Tensor, "B T D"]:
        """Each position of `x` reads from `context`, or from `x` itself; the options are those of `heads`."""
        return self.output(self.heads(x, context, **options))

    def heads(
        self,
        x: Float[Tensor, "B T D"],
        context: Float[Tensor, "B S D"] | None = None,
        *,
        query_pos: Float[Tensor, "... T D"] | None = None,
        key_pos: Float[Tensor, "... S D"] | None = None,
        mask: Bool[Tensor, "... #T S"] | None = None,
        is_causal: bool = False,
        cache: LayerCache | None = None,
        recorder: Recorder | None = None,
    ) -> Float[Tensor, "B T HV"]:
        """What each head reads, side by side, before `output` brings it to the model width.

        Args:
            x: where queries come from.
            context: where keys and values come from; None is self-attention.
            query_pos: added to what queries are computed from.
            key_pos: added to what keys are computed from, never to values (Carion et al. 2020, A.4).
            mask: True = may attend.
            is_causal: no position sees a later one; self-attention only.
            cache: self-attention appends to the past it holds; cross-attention writes it once and reads it after.
            recorder: called with the attention weights [B, H, T, S].
        """
        if context is None:
            query, key, value = self.project(x, query_pos, key_pos)
            if cache is not None:
                cache.past.write(key, value, cache.length)
                key, value = cache.past.read(cache.length + x.shape[1])
        else:
            query = self._split(self.query(_plus(x, query_pos)))
            if cache is not None and cache.context.key is not None:
                key, value = cache.context.read()
            else:
                key, value = self._split(self.key(_plus(context, key_pos))), self._split(self.value(context))
                if cache is not None:
                    cache.context.write(key, value, 0)
        if is_causal and (mask is not None or key.shape[2] != x.shape[1]):
            # SDPA takes no mask beside is_causal, and aligns it to the first key: a past puts the queries last.
            if x.shape[1] > 1:
                causal = causal_mask(x.shape[1], key.shape[2], x.device)
                mask = causal if mask is None else mask & causal
            is_causal = False
        dropout = self.dropout if self.training else 0.0
        heads = attend(query, key, value, mask, is_causal=is_causal, dropout=dropout, recorder=recorder)
        return heads.transpose(1, 2).flatten(2)

    def project(
        self, x: Float[Tensor, "B T D"], query_pos: Tensor | None = None, key_pos: Tensor | None = None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T K"], Float[Tensor, "B H T V"]]:
        """Queries, keys and values of self-attention, split into heads."""
        query, key = self.query(_plus(x, query_pos)), self.key(_plus(x, key_pos))
        return self._split(query), self._split(key), self._split(self.value(x))

    def _split(self, x: Float[Tensor, "B T HK"]) -> Float[Tensor, "B H T K"]:
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)


def _plus(x: Float[Tensor, "B T D"], position: Float[Tensor, "... T D"] | None) -> Float[Tensor, "B T D"]:
    return x if position is None else x + position
