"""Parallel text, ready for training: read, tokenized, some of it held out, cut into batches."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from qkv.config import nearest
from qkv.data.parallel.batches import BatchSampler, Epoch, TranslationBatch, collate, cut_by_length
from qkv.data.parallel.config import DataConfig
from qkv.data.parallel.examples import Corpus, Examples, Indices, View
from qkv.data.parallel.holdout import hold_out, in_validation
from qkv.data.parallel.report import Report
from qkv.data.parallel.store import TextStore, TokenStore
from qkv.data.parallel.text import ParallelText
from qkv.data.parallel.vocabulary import Codec, Direction, format_direction, format_directions
from qkv.data.randomness import derive_seed
from qkv.data.text.tokenizer import TokenizerConfig
from qkv.errors import QkvError
from qkv.reporter import Reporter


class ParallelData:
    """Sentence pairs to train on, and to validate on: the configured ones, or some held out of training."""

    def __init__(
        self, text: ParallelText, codec: Codec, tokenizer: TokenizerConfig, cache: Path, seed: int, reporter: Reporter
    ) -> None:
        """Tokenize the texts into `cache`, unless that is done already; `open` does this and what comes before.

        The codec may have been trained on other texts. `tokenizer` says how to sample from it.

        Raises:
            QkvError: the codec is for other directions, a direction has no usable pair, or a pair fits into no batch.
        """
        if codec.directions != text.directions:
            known, asked = map(format_directions, (codec.directions, text.directions))
            raise QkvError(f"the model translates {known}, but the data is for {asked}: use the same directions")
        config, self.text = text.config, text
        self.codec, self._tokenizer, self._config, self._seed = codec, tokenizer, config, seed
        train, validation = (
            [Corpus(store, _tokenized(store, codec, cache, reporter), text.directions_of(store)) for store in stores]
            for stores in (text.train, text.validation)
        )
        if validation:
            held_out = [view for corpus in validation for view in self._views(corpus)]
            views = [view for corpus in train for view in self._views(corpus)]
            views = [replace(view, validated=in_validation(view, held_out)) for view in views]
        else:
            chosen = hold_out(train, codec.sources, most=config.holdout, max_length=config.max_length, seed=seed)
            aside = list(zip(train, chosen))
            views = [view for corpus, (rows, shadow) in aside for view in self._views(corpus, None, rows, shadow)]
            held_out = [view for corpus, (rows, _) in aside for view in self._views(corpus, rows)]
        self.train = Examples(views, codec, config.max_length)
        self.validation = Examples(held_out, codec, config.max_length)
        self._check()
        weights = _weights(config, codec.directions)
        self._sampler = BatchSampler(self.train, config.batch_tokens, config.temperature, weights, seed=seed)
        self._epoch: tuple[int, Epoch] | None = None

    @classmethod
    def open(
        cls,
        config: DataConfig,
        tokenizer: TokenizerConfig,
        cache: Path,
        seed: int,
        reporter: Reporter,
        codec: Codec | None = None,
    ) -> "ParallelData":
        """Read the files, learn a vocabulary and tokenize, as far as `cache` does not hold it all from an earlier time.

        A codec is used instead of learning a vocabulary; its directions become those of the files.
        """
        text = ParallelText.open(config, cache, reporter)
        codec = text.codec(tokenizer, cache, reporter) if codec is None else codec.redirected(text.directions)
        return cls(text, codec, tokenizer, cache, seed, reporter)

    @cached_property
    def report(self) -> Report:
        """What the data is like. Goes through the lengths of all pairs once."""
        return Report.of(self.train, self.validation)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return len(self._batches(epoch))

    def batch(self, epoch: int, index: int) -> TranslationBatch:
        """A training batch, subword regularisation included."""
        indices, seed, how = self._batches(epoch)[index], derive_seed(self._seed, epoch, index), self._tokenizer
        return collate(self.train, indices, sampling=how.sampling, sample_target=how.sample_target, seed=seed)

    def validation_batches(self) -> Iterator[TranslationBatch]:
        """All validation pairs, the same batches each time."""
        pairs = [self.validation.select(number) for number in range(len(self.codec.directions))]
        for indices in cut_by_length(self.validation, np.concatenate(pairs), self._config.batch_tokens):
            yield collate(self.validation, indices)

    @property
    def validation_directions(self) -> tuple[Direction, ...]:
        """Directions that have validation pairs."""
        pairs = self.validation.usable_pairs
        return tuple(direction for direction, count in zip(self.codec.directions, pairs) if count)

    def validation_texts(self, direction: Direction, limit: int | None = None) -> tuple[list[str], list[str]]:
        """Sources and references of a direction, in order; evenly thinned out to `limit` if there are more."""
        indices = self.validation.select(self.codec.directions.index(direction))
        if limit is not None and limit < len(indices):
            indices = indices[np.arange(limit) * len(indices) // limit]
        return self.validation.texts(indices)

    def _batches(self, epoch: int) -> Epoch:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._sampler.batches(epoch)
        return self._epoch[1]

    def _check(self) -> None:
        for number, direction in enumerate(self.codec.directions):
            if not self.train.usable_pairs[number]:
                fault = f"none of {self.train.size(number):,} pairs is left to train on; each is empty, longer than"
                most = f"max_length ({self._config.max_length} tokens) or held out for validation"
                raise QkvError(f"{format_direction(direction)}: {fault} {most}: add pairs or validation")
        if not self.validation.usable_pairs.sum():
            raise QkvError("validation has no usable pair: every one is empty or longer than max_length")

    def _views(self, corpus: Corpus, rows: Indices | None = None, *aside: Indices) -> Iterator[View]:
        column = corpus.text.languages.index
        for from_, to in corpus.directions:
            number = self.codec.directions.index((from_, to))
            yield View(corpus, number, (column(from_), column(to)), rows, *aside)


def _tokenized(store: TextStore, codec: Codec, cache: Path, reporter: Reporter) -> TokenStore:
    # With separate vocabularies there is one direction, so a language is either the source or the target.
    tokenizers = [codec.target if language == codec.targets[0] else codec.source for language in store.languages]
    return TokenStore.open(store, tokenizers, cache, reporter)


def _weights(config: DataConfig, directions: tuple[Direction, ...]) -> list[float]:
    names = list(map(format_direction, directions))
    for name in config.weights:
        if name not in names:
            raise QkvError(f"data.weights names {name!r}, which is no direction of the data; {nearest(name, names)}")
    return [config.weights.get(name, 1.0) for name in names]
