"""From files to numbered, tokenized sentence pairs, in two steps with the tokenizer's training between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkv.data.codec import Codec, Direction, format_direction
from qkv.data.config import CorpusConfig, DataConfig, directions_of
from qkv.data.examples import Corpus, Examples, Indices, View
from qkv.data.holdout import hold_out
from qkv.data.readers import read_languages, read_rows
from qkv.data.store import Progress, TextStore, TokenStore
from qkv.data.tokenizer import Tokenizer, TokenizerConfig
from qkv.errors import QkvError

_TOKENIZER_LINES = 500_000


def measure(corpus: CorpusConfig | Mapping[str, Any]) -> tuple[int, int]:
    """Number of lines of a corpus, and of characters in its longest language, without preparing it.

    Raises:
        QkvError: the corpus is unreadable, malformed or empty.
    """
    corpus = corpus if isinstance(corpus, CorpusConfig) else CorpusConfig(**corpus)
    languages = read_languages(corpus)
    rows, characters = 0, [0] * len(languages)
    for row in read_rows(corpus, languages):
        rows += 1
        characters = [count + len(text) for count, text in zip(characters, row)]
    if not rows:
        raise QkvError(f"{corpus.name} is empty: it must hold at least one line")
    return rows, max(characters)


@dataclass(frozen=True)
class ParallelText:
    """The texts of all corpora, on disk: what a tokenizer is trained on.

    Attributes:
        config: where they come from.
        train: the training corpora.
        validation: the validation corpora; none if pairs are to be held out.
        directions: all directions of the training corpora.
    """

    config: DataConfig
    train: tuple[TextStore, ...]
    validation: tuple[TextStore, ...]
    directions: tuple[Direction, ...]

    @classmethod
    def open(cls, config: DataConfig, cache: Path, progress: Progress | None = None) -> "ParallelText":
        """Read the files into `cache`, unless they are there and have not changed since.

        Raises:
            QkvError: a file is unreadable, malformed or empty, or validation knows no direction of the training.
        """
        train, validation = (
            tuple(TextStore.open(corpus, cache, progress) for corpus in corpora)
            for corpora in (config.train, config.validation)
        )
        directions = tuple(dict.fromkeys(d for store in train for d in directions_of(store.corpus, store.languages)))
        text = cls(config, train, validation, directions)
        for store in validation:
            text.directions_of(store)
        return text

    def directions_of(self, store: TextStore) -> tuple[Direction, ...]:
        """The directions that a corpus is used for.

        Raises:
            QkvError: none of them is trained, or one that the configuration names is not.
        """
        asked = directions_of(store.corpus, store.languages)
        known = tuple(direction for direction in asked if direction in self.directions)
        if not known or (store.corpus.directions is not None and len(known) < len(asked)):
            unknown = next(direction for direction in asked if direction not in self.directions)
            trained = ", ".join(map(format_direction, self.directions))
            raise QkvError(f"{store.corpus.name}: {format_direction(unknown)} is not trained; choose from {trained}")
        return known

    def lines(self, languages: Sequence[str], limit: int = _TOKENIZER_LINES) -> Iterator[str]:
        """Training text in these languages, evenly thinned out to `limit` lines.

        Of a language with n lines a share in proportion to n^(1/temperature) is taken, as its pairs are in training.
        """
        sizes = {
            language: sum(store.rows for store in self.train if language in store.languages) for language in languages
        }
        weights = {language: size ** (1 / self.config.temperature) for language, size in sizes.items()}
        for language, size in sizes.items():
            wanted = min(size, max(1, int(limit * weights[language] / sum(weights.values()))))
            seen = 0
            for store in self.train:
                if language in store.languages:
                    for block in store.texts(language).blocks():
                        numbers = np.arange(seen, seen + len(block))
                        # Line n is taken where n * wanted / size passes a whole number: `wanted` lines, evenly spread.
                        taken = numbers[(numbers + 1) * wanted // size > numbers * wanted // size]
                        yield from block.take(taken - seen).to_pylist()
                        seen += len(block)

    def train_codec(self, config: TokenizerConfig) -> Codec:
        """Learn the vocabulary, or the two of them.

        Raises:
            QkvError: the text does not suit the configuration.
        """
        targets = list(dict.fromkeys(to for _, to in self.directions))
        if not config.separate:
            languages = list(dict.fromkeys(language for direction in self.directions for language in direction))
            tags = targets if len(self.directions) > 1 else []
            tokenizer = Tokenizer.train(self.lines(languages), config, tags)
            return Codec(tokenizer, tokenizer, self.directions, target_tags=bool(tags))
        if len(self.directions) != 1:
            names = ", ".join(map(format_direction, self.directions))
            raise QkvError(f"tokenizer.separate works for one direction, not for {names}; set it to false")
        source, target = (Tokenizer.train(self.lines([language]), config) for language in self.directions[0])
        return Codec(source, target, self.directions, target_tags=False)


class ParallelData:
    """Tokenized sentence pairs for training and validation.

    Attributes:
        codec: the tokenizers.
        train: pairs to train on.
        validation: pairs to validate on: the configured ones, or those held out of training.
    """

    def __init__(
        self, text: ParallelText, codec: Codec, cache: Path, *, seed: int, progress: Progress | None = None
    ) -> None:
        """Tokenize the texts into `cache`, unless that is done already.

        Args:
            text: the texts.
            codec: the tokenizers, trained on them (`ParallelText.train_codec`) or elsewhere.
            cache: where tokens are kept.
            seed: of the choice of held-out pairs.
            progress: told of the work.

        Raises:
            QkvError: the codec is for other directions, or a direction has no usable pair.
        """
        if codec.directions != text.directions:
            known, asked = (", ".join(map(format_direction, d)) for d in (codec.directions, text.directions))
            raise QkvError(f"the model translates {known}, but the data is for {asked}: use the same directions")
        self.codec = codec
        config = text.config
        train, validation = (
            [_tokenized(store, text.directions_of(store), codec, cache, progress) for store in stores]
            for stores in (text.train, text.validation)
        )
        if validation:
            views = [view for corpus in train for view in self._views(corpus)]
            held_out = [view for corpus in validation for view in self._views(corpus)]
        else:
            chosen = hold_out(train, codec.sources, most=config.holdout, max_length=config.max_length, seed=seed)
            aside = list(zip(train, chosen))
            views = [view for corpus, (rows, shadow) in aside for view in self._views(corpus, None, rows, shadow)]
            held_out = [view for corpus, (rows, _) in aside for view in self._views(corpus, rows)]
        self.train = Examples(views, codec, config.max_length)
        self.validation = Examples(held_out, codec, config.max_length)
        for number, direction in enumerate(codec.directions):
            if not self.train.usable_pairs[number]:
                name, size = format_direction(direction), self.train.size(number)
                raise QkvError(
                    f"{name}: none of {size:,} pairs is left to train on; each is empty, longer than max_length "
                    f"({config.max_length} tokens) or held out for validation: add pairs, or validation of its own"
                )
        if not self.validation.usable_pairs.sum():
            raise QkvError("validation has no usable pair: every one is empty or longer than max_length")

    def _views(self, corpus: Corpus, rows: Indices | None = None, *aside: Indices) -> Iterator[View]:
        column = corpus.text.languages.index
        for from_, to in corpus.directions:
            number = self.codec.directions.index((from_, to))
            yield View(corpus, number, (column(from_), column(to)), rows, *aside)


def _tokenized(
    store: TextStore, directions: tuple[Direction, ...], codec: Codec, cache: Path, progress: Progress | None
) -> Corpus:
    # With separate vocabularies there is one direction, so a language is either the source or the target.
    tokenizers = [codec.target if language == codec.targets[0] else codec.source for language in store.languages]
    return Corpus(store, TokenStore.open(store, tokenizers, cache, progress), directions)
