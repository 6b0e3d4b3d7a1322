"""The encoder-decoder of "Attention Is All You Need": source tokens in, logits over the next target token out."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qkv.config import check_range
from qkv.models.weights import initialise
from qkv.nn import KVCache, Recorder, Transformer, TransformerConfig, make_positions, padding_mask
from qkv.nn.position import PositionKind


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(TransformerConfig):
    """Sizes and choices of encoder and decoder, which are equally deep.

    Attributes:
        kind: tells it from the other kinds of model that translate (`models/recurrent.py`).
        positions: what tells the order of tokens.
        max_length: learned positions to allocate; sinusoidal ones have no limit.
        tie_embeddings: one matrix for target embedding and output projection, and for the source embedding too where
            the vocabulary is shared (section 3.4).
    """

    kind: Literal["transformer"] = "transformer"
    positions: PositionKind = "sinusoidal"
    max_length: int = 512
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, 1, 2**20, "max_length")
        if self.positions != "learned" and self.d_model % 2:
            raise ValueError(f"{self.positions} positions need an even d_model, not {self.d_model}")

    @property
    def longest(self) -> int | None:
        """Most positions that the model can tell apart; None is no limit."""
        return self.max_length if self.positions == "learned" else None


@dataclass
class DecoderState:
    """What decoding carries from step to step. Rows are sentences, or their beams."""

    memory: Float[Tensor, "N S D"]  # the encoder's output of each row's sentence
    memory_mask: Bool[Tensor, "N 1 1 S"]  # which of it is not padding
    cache: KVCache
    sentence: Int[Tensor, "N"]  # to which each row belongs

    def reorder(self, rows: Int[Tensor, "M"]) -> None:
        """Keep these rows, in this order; a row may be repeated or left out."""
        sentence = self.sentence[rows]
        # Beams mostly trade places within their sentence: what belongs to the sentence then stays where it is.
        moved = not torch.equal(sentence, self.sentence)
        if moved:
            self.memory, self.memory_mask, self.sentence = self.memory[rows], self.memory_mask[rows], sentence
        self.cache.reorder(rows, context=moved)


class TranslatorModel(nn.Module):
    """Encoder, decoder and shared embeddings (figure 1).

    `vocabulary` is the number of source tokens, and that of target tokens too unless there is a `target_vocabulary`,
    where the languages do not share one.
    """

    def __init__(self, config: TranslatorConfig, vocabulary: int, target_vocabulary: int | None = None) -> None:
        super().__init__()
        self.config = config
        targets = target_vocabulary or vocabulary
        self.target_embedding = nn.Embedding(targets, config.d_model)
        shared = target_vocabulary is None and config.tie_embeddings
        self.source_embedding = self.target_embedding if shared else nn.Embedding(vocabulary, config.d_model)
        self.positions = make_positions(config.positions, config.d_model, config.max_length)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Transformer(config)
        self.decoder = Transformer(config, cross=True)
        # The output projection is the target embedding, transposed, or a matrix of its own with the same shape.
        self.output = self.target_embedding if config.tie_embeddings else nn.Embedding(targets, config.d_model)
        self.output_bias = nn.Parameter(torch.zeros(targets))
        initialise(self)

    def forward(
        self,
        source: Int[Tensor, "B S"],
        source_lengths: Int[Tensor, "B"],
        target: Int[Tensor, "B T"],
        recorder: Recorder | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Logits of the token after each target position, every position in parallel.

        Args:
            source: token ids, padded on the right.
            source_lengths: real tokens of each source sentence.
            target: token ids from the begin token on, padded on the right; a position sees no later one.
            recorder: called with ("encoder" or "decoder", layer, "self" or "cross", weights).
        """
        mask = padding_mask(source_lengths, source.shape[1])
        memory = self.encode(source, mask, recorder)
        # Padding stands behind the real target tokens, so causality alone keeps it out of their sight.
        x = self.decoder(
            self._embed(self.target_embedding, target),
            memory,
            context_mask=mask,
            is_causal=True,
            recorder=None if recorder is None else partial(recorder, "decoder"),
        )
        return self.logits(x)

    def encode(
        self, source: Int[Tensor, "B S"], mask: Bool[Tensor, "B 1 1 S"], recorder: Recorder | None = None
    ) -> Float[Tensor, "B S D"]:
        """The last encoder layer, which every decoder layer reads."""
        x = self._embed(self.source_embedding, source)
        return self.encoder(x, mask=mask, recorder=None if recorder is None else partial(recorder, "encoder"))

    def logits(self, features: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Scores over the target vocabulary, before the softmax."""
        return F.linear(features, self.output.weight, self.output_bias)

    def start(self, source: Int[Tensor, "B S"], source_lengths: Int[Tensor, "B"], max_length: int) -> DecoderState:
        """Encode once; then `decode` up to `max_length` tokens."""
        mask = padding_mask(source_lengths, source.shape[1])
        cache = KVCache(self.config.n_layers, max_length)
        return DecoderState(self.encode(source, mask), mask, cache, torch.arange(len(source), device=source.device))

    def decode(self, tokens: Int[Tensor, "B T"], state: DecoderState) -> Float[Tensor, "B V"]:
        """Append tokens to each row's past; logits of the token after the last."""
        x = self._embed(self.target_embedding, tokens, state.cache.length)
        x = self.decoder(x, state.memory, context_mask=state.memory_mask, is_causal=True, cache=state.cache)
        state.cache.advance(tokens.shape[1])
        return self.logits(x[:, -1])

    def _embed(self, embedding: nn.Embedding, tokens: Tensor, start: int = 0) -> Tensor:
        x = embedding(tokens) * math.sqrt(embedding.embedding_dim)
        return self.dropout(x + self.positions(tokens.shape[1], start))
