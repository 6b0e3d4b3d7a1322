"""What config.json of a translator holds; and the kinds of model that translate.

What these offer is alike: `forward`, `start`, `decode` and `config.longest`.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from qkv.config import check_range
from qkv.data.parallel.vocabulary import Codec, Direction
from qkv.models.recurrent import RecurrentConfig, RecurrentModel
from qkv.models.translator import TranslatorConfig, TranslatorModel

ModelConfig = TranslatorConfig | RecurrentConfig
"""The `model` section of a recipe and of config.json; its `kind` says which, the Transformer where there is none."""

Model = TranslatorModel | RecurrentModel


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Below which values a translation is unsure, from validation; none for a language that it lacked."""

    score: dict[str, float] = field(default_factory=dict)  # by direction ("en-de"): nats a token, beam search
    greedy: dict[str, float] = field(default_factory=dict)  # the same, greedy search
    familiarity: dict[str, float] = field(default_factory=dict)  # by source language: nats a character of the text

    def __post_init__(self) -> None:
        if not all(math.isfinite(limit) for of in vars(self).values() for limit in of.values()):
            raise ValueError("limits must be finite numbers")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A translator, but for its weights and its tokenizers."""

    system: ClassVar[str] = "translator"
    model: ModelConfig  # its kind, sizes and choices
    vocabulary: int  # number of source tokens, and of target tokens where these are the same
    target_vocabulary: int | None  # number of target tokens where they are not
    max_source_tokens: int  # longer sources, tag and end token included, are split
    directions: tuple[Direction, ...]  # (from, to) pairs that it is trained for
    target_tags: bool  # the source begins with the tag of the language to translate into
    limits: Limits = field(default_factory=Limits)  # older models have none

    @classmethod
    def of(cls, model: ModelConfig, codec: Codec, max_source_tokens: int, limits: Limits | None = None) -> "Saved":
        """A model of these sizes with its tokenizers."""
        return cls(
            model=model,
            vocabulary=codec.vocabulary,
            target_vocabulary=codec.target_vocabulary,
            max_source_tokens=max_source_tokens,
            directions=codec.directions,
            target_tags=codec.target_tags,
            limits=limits or Limits(),
        )

    @property
    def knows(self) -> str:
        """Its languages."""
        return ", ".join(sorted({language for direction in self.directions for language in direction}))

    @property
    def longest_source(self) -> int:
        """Most source tokens that the model takes at once."""
        return min(self.max_source_tokens, self.model.longest or self.max_source_tokens)

    def __post_init__(self) -> None:
        check_range(self, 1, 2**20, "vocabulary", "max_source_tokens", "target_vocabulary")
        if not self.directions:
            raise ValueError("directions: there is none")


def make_model(config: ModelConfig, vocabulary: int, target_vocabulary: int | None = None) -> Model:
    """A model with new weights; `target_vocabulary` is given where the languages do not share one vocabulary."""
    if isinstance(config, TranslatorConfig):
        return TranslatorModel(config, vocabulary, target_vocabulary)
    return RecurrentModel(config, vocabulary, target_vocabulary)


def describe(config: ModelConfig) -> str:
    """What a model is called, with its paper."""
    if isinstance(config, TranslatorConfig):
        return "A Transformer (Vaswani et al. 2017)"
    name = {"lstm": "An LSTM", "gru": "A GRU"}[config.kind]
    how = "with attention (Bahdanau et al. 2015)" if config.attention else "without attention (Sutskever et al. 2014)"
    return f"{name} {how}"
