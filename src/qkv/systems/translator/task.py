"""Training a translator: cross-entropy with label smoothing, validation loss and BLEU, export."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from qkv.data.parallel.batches import TranslationBatch
from qkv.data.parallel.config import DataConfig
from qkv.data.parallel.data import ParallelData
from qkv.data.parallel.text import Lines
from qkv.data.parallel.vocabulary import Codec, format_direction
from qkv.data.text.tokenizer import PAD, TokenizerConfig
from qkv.model_directory import CARD, read_saved, read_weights, save_model
from qkv.models.translator import TranslatorConfig
from qkv.models.weights import count, get_weights, set_weights
from qkv.runtime.device import to_device
from qkv.runtime.engine import Engine
from qkv.runtime.memory import new_model
from qkv.systems.initial import refuse_other_sizes
from qkv.systems.translator.calibration import find_limits
from qkv.systems.translator.card import card
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.profile import PROFILE, Profile
from qkv.systems.translator.report import greedy_bleu
from qkv.systems.translator.saved import Limits, Model, ModelConfig, Saved, make_model
from qkv.train.task import Setting, Task

_PROFILE_LINES = 50_000
"""Of each language; more would change little."""


@dataclass(frozen=True, kw_only=True)
class TranslatorTaskConfig:
    """Everything about training a translator but the loop."""

    data: DataConfig  # what to train and validate on
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)  # how to cut text into tokens
    model: ModelConfig = field(default_factory=TranslatorConfig)  # its kind and sizes
    label_smoothing: float = 0.1  # share of the probability spread over the vocabulary (section 5.4)
    bleu_sentences: int = 200  # validation sentences of each direction to translate for BLEU; 0 for all of them

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        if self.model.longest is not None and self.model.longest < self.longest_source:
            raise ValueError(
                f"model.max_length ({self.model.longest}) must be at least {self.longest_source}: "
                "learned positions for a sentence, its language tag and its end"
            )

    @property
    def longest_source(self) -> int:
        """Most tokens of a source in the data, tag and end included."""
        return self.data.max_length + 2


class TranslatorTask(Task[Model, ParallelData]):
    """A translator with its parallel data."""

    Config = TranslatorTaskConfig
    unit = "tokens"
    score = "bleu"

    def __init__(self, config: TranslatorTaskConfig, data: ParallelData, model: Model) -> None:
        self.config, self.data, self.model = config, data, model
        self._limits: Limits | None = None  # of the weights that were evaluated last

    @classmethod
    def create(cls, config: TranslatorTaskConfig, setting: Setting) -> "TranslatorTask":
        """Prepare the data, report on it, and build a model, with the initial one's tokenizers and weights if any."""
        codec = None if setting.initial is None else _codec_of(setting.initial, config)
        place, reporter = setting.folder / "data", setting.reporter
        data = ParallelData.open(config.data, config.tokenizer, place, setting.seed, reporter, codec)
        reporter.say(data.report.to_table())
        vocabularies = data.codec.vocabulary, data.codec.target_vocabulary
        model = new_model(lambda: make_model(config.model, *vocabularies))
        if setting.initial is not None:
            set_weights(model, read_weights(setting.initial), str(setting.initial))
        reporter.say(f"{count(get_weights(model)):,} parameters, vocabulary {data.codec.vocabulary:,}")
        return cls(config, data, model)

    def denominators(self, batch: TranslationBatch) -> dict[str, float]:
        """Target tokens, end tokens included, padding not."""
        return {"tokens": float((batch.target_output != PAD).sum())}

    def losses(self, batch: TranslationBatch) -> dict[str, Tensor]:
        """Cross-entropy with label smoothing, summed over target tokens."""
        logits = self.model(batch.source, batch.source_lengths, batch.target_input)
        return {"tokens": _cross_entropy(logits, batch.target_output, self.config.label_smoothing)}

    def evaluate(self) -> dict[str, float]:
        """Nats per validation token, and BLEU of greedy translations, averaged over the directions."""
        engine, codec = Engine(self.model), self.data.codec
        nats = tokens = 0.0
        for batch in self.data.validation_batches():
            tokens += self.denominators(batch)["tokens"]
            batch = to_device(batch, engine.device)
            logits = engine.forward(batch.source, batch.source_lengths, batch.target_input)
            nats += _cross_entropy(logits, batch.target_output).item()
        # Room for any source of the data: that none is split keeps the scores of different data comparable.
        translator = Translator(Saved.of(self.config.model, codec, self.config.longest_source), codec, engine)
        scores, scored = {}, {}
        for direction in self.data.validation_directions:
            sources, references = self.data.validation_texts(direction, self.config.bleu_sentences or None)
            bleu, found = greedy_bleu(translator, sources, references, direction)
            scores[format_direction(direction)] = bleu
            scored[direction] = sources, [translation.score for translation in found]
        self._limits = find_limits(translator, self._profile, scored)
        each = {f"bleu_{name}": score for name, score in scores.items()} if len(scores) > 1 else {}
        return {"loss": nats / tokens, "bleu": sum(scores.values()) / len(scores), **each}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a translator's model directory."""
        codec, data = self.data.codec, self.config.data
        saved = Saved.of(self.config.model, codec, self.data.train.longest_source, self._limits)
        counted = {"parameters": count(weights), "examples": f"batches of up to {data.batch_tokens:,} tokens"}
        text = card(saved, {**facts, **counted}, [path for corpus in data.train for path in corpus.paths])
        files = {**codec.files(), PROFILE: self._profile.to_bytes(), CARD: text.encode()}
        save_model(folder, saved, weights, files)

    @cached_property
    def _profile(self) -> Profile:
        """Of the training text, evenly thinned out."""
        languages = dict.fromkeys(chain.from_iterable(self.data.codec.directions))
        texts = {language: Lines(self.data.text, [language], _PROFILE_LINES) for language in languages}
        return Profile.of(texts, self.data.codec.source)


def _cross_entropy(
    logits: Float[Tensor, "B T V"], target: Int[Tensor, "B T"], label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Summed over the tokens that are not padding."""
    logits = logits.flatten(0, 1).float()
    return F.cross_entropy(logits, target.flatten(), ignore_index=PAD, label_smoothing=label_smoothing, reduction="sum")


def _codec_of(initial: Path, config: TranslatorTaskConfig) -> Codec:
    """The tokenizers of the model to start from, once its sizes are known to be the configured ones."""
    saved = read_saved(initial, Saved)
    codec = Codec.load(initial, vars(saved))
    refuse_other_sizes(config.model, saved.model, (config.tokenizer.vocabulary, codec.vocabulary))
    return codec


TASK = TranslatorTask
