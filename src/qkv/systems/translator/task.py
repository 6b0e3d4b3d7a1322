"""Training a translator: cross-entropy with label smoothing, validation loss and BLEU, export."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sacrebleu
import torch
import torch.nn.functional as F
from torch import Tensor

from qkv.data.parallel.config import DataConfig
from qkv.data.parallel.data import ParallelData, TranslationBatch
from qkv.data.parallel.vocabulary import Codec, format_direction
from qkv.data.text.tokenizer import BEGIN, END, PAD, TokenizerConfig
from qkv.generation import Greedy, generate
from qkv.model_directory import read_config, read_weights, save_model
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.weights import set_weights
from qkv.reporter import Reporter
from qkv.systems.card import translator_card
from qkv.systems.initial import refuse_other_sizes


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """Everything about training a translator but the loop.

    Attributes:
        data: what to train and validate on.
        tokenizer: how to cut text into tokens.
        model: its sizes.
        label_smoothing: share of the probability spread over the vocabulary (section 5.4).
        bleu_sentences: validation sentences of each direction to translate for BLEU; 0 for all of them.
    """

    data: DataConfig
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: TranslatorConfig = field(default_factory=TranslatorConfig)
    label_smoothing: float = 0.1
    bleu_sentences: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")
        if self.model.longest is not None and self.model.longest < self.data.max_length + 2:
            raise ValueError(
                f"model.max_length ({self.model.longest}) must be at least {self.data.max_length + 2}: "
                "learned positions for a sentence, its language tag and its end"
            )


class TranslationTask:
    """A translator with its parallel data."""

    Config = TranslationConfig
    unit = "tokens"
    score = "bleu"

    def __init__(self, config: TranslationConfig, data: ParallelData, model: TranslatorModel) -> None:
        self.config, self.data, self.model = config, data, model

    @classmethod
    def create(
        cls, config: TranslationConfig, folder: Path, seed: int, reporter: Reporter, initial: Path | None = None
    ) -> "TranslationTask":
        """Prepare the data in `folder`, report on it, and build a model.

        Args:
            config: data, tokenizer and model.
            folder: for everything that is derived from the data.
            seed: of held-out pairs, data order and subword sampling.
            reporter: is told of the work, and of what the data is like.
            initial: a model directory whose tokenizer and weights to start from; new ones are made otherwise.

        Raises:
            QkvError: the data cannot be used, or the initial model is of other sizes.
        """
        codec = None if initial is None else _codec_of(initial, config)
        data = ParallelData.open(config.data, config.tokenizer, folder / "data", seed, reporter, codec)
        reporter.say(data.report.to_table())
        model = TranslatorModel(config.model, data.codec.vocabulary, data.codec.target_vocabulary)
        if initial is not None:
            set_weights(model, read_weights(initial), str(initial))
        size = sum(parameter.numel() for parameter in model.parameters())
        reporter.say(f"{size:,} parameters, vocabulary {data.codec.vocabulary:,}")
        return cls(config, data, model)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return self.data.n_batches(epoch)

    def batch(self, epoch: int, index: int) -> TranslationBatch:
        """One batch, its subword regularisation drawn from (seed, epoch, index)."""
        return self.data.batch(epoch, index)

    def denominators(self, batch: TranslationBatch) -> dict[str, float]:
        """Target tokens, end tokens included, padding not."""
        return {"tokens": float((batch.target_output != PAD).sum())}

    def losses(self, batch: TranslationBatch) -> dict[str, Tensor]:
        """Cross-entropy with label smoothing, summed over target tokens."""
        return {"tokens": self._cross_entropy(batch, self.config.label_smoothing)}

    def evaluate(self) -> dict[str, float]:
        """Nats per validation token, and BLEU of greedy translations, averaged over the directions."""
        nats = tokens = 0.0
        for batch in self.data.validation_batches():
            tokens += self.denominators(batch)["tokens"]
            nats += self._cross_entropy(batch.to(self.model.output_bias.device), 0.0).item()
        scores = {}
        for direction in self.data.validation_directions:
            sources, references = self.data.validation_texts(direction, self.config.bleu_sentences or None)
            outputs = translate_greedily(self.model, self.data.codec, sources, direction[1])
            scores[direction] = sacrebleu.corpus_bleu(outputs, [references]).score
        each = {f"bleu_{format_direction(direction)}": score for direction, score in scores.items()}
        mean = sum(scores.values()) / len(scores)
        return {"loss": nats / tokens, "bleu": mean, **(each if len(each) > 1 else {})}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a translator's model directory."""
        codec = self.data.codec
        config = {
            "model": asdict(self.config.model),
            "vocabulary": codec.vocabulary,
            "target_vocabulary": codec.target_vocabulary,
            "max_source_tokens": self.data.max_source_tokens,
            **codec.config(),
        }
        card = translator_card(self.config, codec, facts, sum(weight.numel() for weight in weights.values()))
        files = {**codec.files(), "README.md": card.encode()}
        save_model(folder, system="translator", config=config, weights=weights, files=files)

    def _cross_entropy(self, batch: TranslationBatch, label_smoothing: float) -> Tensor:
        logits = self.model(batch.source, batch.source_lengths, batch.target_input)
        return F.cross_entropy(
            logits.flatten(0, 1).float(),
            batch.target_output.flatten(),
            ignore_index=PAD,
            label_smoothing=label_smoothing,
            reduction="sum",
        )


def _codec_of(initial: Path, config: TranslationConfig) -> Codec:
    """The tokenizers of the model to start from, once its sizes are known to be the configured ones."""
    saved = read_config(initial)
    codec = Codec.load(initial, saved)
    asked = {f"model.{name}": size for name, size in asdict(config.model).items()}
    asked["tokenizer.vocabulary"] = config.tokenizer.vocabulary
    known = {f"model.{name}": size for name, size in saved["model"].items()}
    known["tokenizer.vocabulary"] = codec.vocabulary
    refuse_other_sizes(asked, known)
    return codec


def translate_greedily(
    model: TranslatorModel, codec: Codec, texts: Sequence[str], to: str, batch_size: int = 64
) -> list[str]:
    """Greedy translations for validation, in the order of the texts; shortest sources first, in batches."""
    sources = codec.encode_source(texts, to)
    device = model.output_bias.device
    outputs = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(sources[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        lengths = torch.tensor([len(sources[i]) for i in rows], device=device)
        source = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(sources[i]) for i in rows], batch_first=True, padding_value=PAD
        ).to(device)
        most = model.config.longest or math.inf
        limits = [int(min(2 * length + 10, most)) for length in lengths.tolist()]
        state = model.start(source, lengths, max(limits) + 1)
        prompt = torch.full((len(rows), 1), BEGIN, device=device)
        found = generate(model.decode, state, prompt, Greedy(), end_id=END, max_length=limits)
        for i, text in zip(rows, codec.decode([hypotheses[0].tokens for hypotheses in found]), strict=True):
            outputs[i] = text
    return outputs
