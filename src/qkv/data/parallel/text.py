"""The texts of all corpora: what a vocabulary is learnt from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qkv.data.parallel.config import DataConfig, directions_of
from qkv.data.parallel.store import TextStore
from qkv.data.parallel.vocabulary import Codec, Direction, format_direction, format_directions
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.data.text.vocabulary import keep_vocabulary
from qkv.errors import QkvError
from qkv.reporter import Reporter

_TOKENIZER_LINES = 500_000


@dataclass(frozen=True)
class ParallelText:
    """The texts of all corpora, on disk.

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
    def open(cls, config: DataConfig, cache: Path, reporter: Reporter) -> "ParallelText":
        """Read the files into `cache`, unless they are there and have not changed since.

        Raises:
            QkvError: a file is unreadable, malformed or empty, or validation knows no direction of the training.
        """
        train, validation = (
            tuple(TextStore.open(corpus, cache, reporter) for corpus in corpora)
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
            trained = format_directions(self.directions)
            raise QkvError(f"{store.corpus.name}: {format_direction(unknown)} is not trained; choose from {trained}")
        return known

    def lines(self, languages: Sequence[str], limit: int = _TOKENIZER_LINES) -> "Lines":
        """Training text in these languages, evenly thinned out to `limit` lines.

        Of a language with n lines a share in proportion to n^(1/temperature) is taken, as its pairs are in training.
        """
        return Lines(self, languages, limit)

    def codec(self, config: TokenizerConfig, cache: Path, reporter: Reporter) -> Codec:
        """The vocabulary in `cache`, or a new one. It is kept when the files change, since weights depend on it.

        Raises:
            QkvError: the text does not suit the configuration.
        """

        def learn() -> dict[str, bytes]:
            reporter.progress("learning the vocabulary", 0)
            codec = self.train_codec(config)
            return {**codec.files(), "config.json": json.dumps(codec.config()).encode()}

        files = [list(map(Path.resolve, store.corpus.paths)) for store in self.train]
        folder = keep_vocabulary(
            cache,
            "tokenizer",
            config,
            [files, self.directions, self.config.temperature],
            state=" ".join(store.folder.name for store in self.train),
            text="the training text has",
            learn=learn,
        )
        return Codec.load(folder, json.loads((folder / "config.json").read_text()))

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
            names = format_directions(self.directions)
            raise QkvError(f"tokenizer.separate works for one direction, not for {names}; set it to false")
        source, target = (Tokenizer.train(self.lines([language]), config) for language in self.directions[0])
        return Codec(source, target, self.directions, target_tags=False)


@dataclass(frozen=True)
class Lines:
    """What `ParallelText.lines` gives: text that can be read more than once."""

    text: ParallelText
    languages: Sequence[str]
    limit: int

    def __iter__(self) -> Iterator[str]:
        train, temperature = self.text.train, self.text.config.temperature
        sizes = {
            language: sum(store.rows for store in train if language in store.languages) for language in self.languages
        }
        weights = {language: size ** (1 / temperature) for language, size in sizes.items()}
        for language, size in sizes.items():
            wanted = min(size, max(1, round(self.limit * weights[language] / sum(weights.values()))))
            seen = 0
            for store in train:
                if language in store.languages:
                    for block in store.columns[language].blocks:
                        numbers = np.arange(seen, seen + len(block))
                        # Line n is taken where n * wanted / size passes a whole number: `wanted` lines, evenly spread.
                        taken = numbers[(numbers + 1) * wanted // size > numbers * wanted // size]
                        yield from block.take(taken - seen).to_pylist()
                        seen += len(block)
