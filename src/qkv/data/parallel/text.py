"""The texts of all corpora: what a vocabulary is learnt from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from qkv.data.parallel.config import DataConfig, directions_of
from qkv.data.parallel.store import TextStore
from qkv.data.parallel.vocabulary import Codec, Direction, format_direction, format_directions
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.data.text.vocabulary import keep_vocabulary, tell_of_learning
from qkv.errors import QkvError
from qkv.reporter import Reporter


@dataclass(frozen=True)
class ParallelText:
    """The texts of all corpora, on disk."""

    config: DataConfig
    train: tuple[TextStore, ...]
    validation: tuple[TextStore, ...]  # none if pairs are to be held out
    directions: tuple[Direction, ...]  # of the training corpora

    @classmethod
    def open(cls, config: DataConfig, cache: Path, reporter: Reporter) -> "ParallelText":
        """Read the files into `cache`, unless they are there and have not changed since."""
        train = tuple(TextStore.open(corpus, cache, reporter) for corpus in config.train)
        validation = tuple(TextStore.open(corpus, cache, reporter) for corpus in config.validation)
        directions = tuple(dict.fromkeys(d for store in train for d in directions_of(store.corpus, store.languages)))
        text = cls(config, train, validation, directions)
        for store in validation:
            text.directions_of(store)
        return text

    def directions_of(self, store: TextStore) -> tuple[Direction, ...]:
        """The directions a corpus is used for; a QkvError if none of them, or not all that it names, are trained."""
        asked = directions_of(store.corpus, store.languages)
        known = tuple(direction for direction in asked if direction in self.directions)
        if not known or (store.corpus.directions is not None and len(known) < len(asked)):
            unknown = next(direction for direction in asked if direction not in self.directions)
            trained = format_directions(self.directions)
            raise QkvError(f"{store.corpus.name}: {format_direction(unknown)} is not trained; choose from {trained}")
        return known

    def codec(self, config: TokenizerConfig, cache: Path, reporter: Reporter) -> Codec:
        """The vocabulary in `cache`, or a new one. It is kept when the files change, since weights depend on it."""

        def learn() -> dict[str, bytes]:
            lines = Lines(self, list(dict.fromkeys(chain.from_iterable(self.directions))))
            tell_of_learning(lines, lines.size, config, reporter)
            codec = self.train_codec(config)
            return {**codec.files(), "config.json": json.dumps(codec.config()).encode()}

        files = [list(map(Path.resolve, store.corpus.paths)) for store in self.train]
        origin, state = [files, self.directions, self.config.temperature], [store.folder.name for store in self.train]
        folder = keep_vocabulary(cache, "tokenizer", config, origin, " ".join(state), "the training text has", learn)
        return Codec.load(folder, json.loads((folder / "config.json").read_text()))

    def train_codec(self, config: TokenizerConfig) -> Codec:
        """Learn the vocabulary, or the two of them; a QkvError if the text does not suit the configuration."""
        if not config.separate:
            languages = list(dict.fromkeys(chain.from_iterable(self.directions)))
            tags = list(dict.fromkeys(to for _, to in self.directions)) if len(self.directions) > 1 else []
            tokenizer = Tokenizer.train(Lines(self, languages), config, tags)
            return Codec(tokenizer, tokenizer, self.directions, target_tags=bool(tags))
        if len(self.directions) != 1:
            names = format_directions(self.directions)
            raise QkvError(f"tokenizer.separate works for one direction, not for {names}; set it to false")
        source, target = (Tokenizer.train(Lines(self, [language]), config) for language in self.directions[0])
        return Codec(source, target, self.directions, target_tags=False)


@dataclass(frozen=True)
class Lines:
    """Training text in some languages, evenly thinned out to `limit` lines, which can be read more than once.

    Of a language with n lines a share in proportion to n^(1/temperature) is taken, as its pairs are in training.
    """

    text: ParallelText
    languages: Sequence[str]
    limit: int = 500_000

    @property
    def size(self) -> int:
        """How many there are, or a few more."""
        return min(
            self.limit, sum(store.rows for one in self.languages for store in self.text.train if one in store.languages)
        )

    def __iter__(self) -> Iterator[str]:
        stores = {one: [store for store in self.text.train if one in store.languages] for one in self.languages}
        sizes = {language: sum(store.rows for store in own) for language, own in stores.items()}
        weights = {language: size ** (1 / self.text.config.temperature) for language, size in sizes.items()}
        for language, size in sizes.items():
            wanted = min(size, max(1, round(self.limit * weights[language] / sum(weights.values()))))
            seen = 0
            for block in chain.from_iterable(store.columns[language].blocks for store in stores[language]):
                numbers = np.arange(seen, seen + len(block))
                # Line n is taken where n * wanted / size passes a whole number: `wanted` lines, evenly spread.
                taken = numbers[(numbers + 1) * wanted // size > numbers * wanted // size]
                yield from block.take(taken - seen).to_pylist()
                seen += len(block)
