"""Sentences of many languages to the token ids of one model, and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qkv.data.text.tokenizer import END, Tokenizer
from qkv.errors import QkvError

SHARED, SOURCE, TARGET = "tokenizer.model", "source.model", "target.model"

Direction = tuple[str, str]


def format_direction(direction: Direction) -> str:
    """("en", "de") as "en-de"."""
    return "-".join(direction)


@dataclass(frozen=True)
class Codec:
    """The tokenizers of a translator, and which language it translates into which.

    Attributes:
        source: encodes what is translated.
        target: decodes the translation; the same object as `source` where the vocabulary is shared.
        directions: (from, to) pairs the model is trained for.
        target_tags: the source begins with the tag of the language to translate into; always so with several
            directions.
    """

    source: Tokenizer
    target: Tokenizer
    directions: tuple[Direction, ...]
    target_tags: bool

    def __post_init__(self) -> None:
        """Refuse what would leave the target language unsaid."""
        if not self.directions:
            raise QkvError("the model has no direction: give at least one, such as [en, de]")
        if self.target_tags:
            for target in self.targets:
                self.source.tag(target)
        elif len(self.directions) > 1:
            raise QkvError(f"{len(self.directions)} directions need target_tags: nothing else tells them apart")

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, object]) -> "Codec":
        """Read the tokenizers of a model folder.

        Args:
            folder: holds tokenizer.model, or source.model and target.model.
            config: the model's config.json; `directions` and `target_tags` are read.

        Raises:
            QkvError: a file or a field is missing or broken.
        """
        directions, target_tags = config.get("directions"), config.get("target_tags")
        if not isinstance(directions, Iterable) or not isinstance(target_tags, bool):
            raise QkvError(f"{folder / 'config.json'} lacks directions or target_tags: it is no translator's")
        if (folder / SOURCE).exists():
            source, target = Tokenizer.load(folder / SOURCE), Tokenizer.load(folder / TARGET)
        else:
            source = target = Tokenizer.load(folder / SHARED)
        return cls(source, target, tuple((from_, to) for from_, to in directions), target_tags)

    def files(self) -> dict[str, bytes]:
        """The tokenizers as files of a model folder, by name."""
        if self.source is self.target:
            return {SHARED: self.source.to_bytes()}
        return {SOURCE: self.source.to_bytes(), TARGET: self.target.to_bytes()}

    def config(self) -> dict[str, object]:
        """The codec's fields of config.json."""
        return {"directions": [list(direction) for direction in self.directions], "target_tags": self.target_tags}

    @property
    def vocabulary(self) -> int:
        """Number of source token ids."""
        return len(self.source)

    @property
    def target_vocabulary(self) -> int | None:
        """Number of target token ids where the vocabularies are separate, None where shared (as TranslatorConfig)."""
        return None if self.source is self.target else len(self.target)

    @property
    def sources(self) -> tuple[str, ...]:
        """Languages the model translates from."""
        return tuple(dict.fromkeys(from_ for from_, _ in self.directions))

    @property
    def targets(self) -> tuple[str, ...]:
        """Languages the model translates into."""
        return tuple(dict.fromkeys(to for _, to in self.directions))

    def encode_source(
        self, texts: Sequence[str], to: str | Sequence[str], *, alpha: float = 0.0, seed: int = 0
    ) -> list[list[int]]:
        """What the encoder reads: [tag of the target language, if there are tags] + tokens + [END].

        Args:
            texts: sentences; an empty one is its END alone (and tag).
            to: the language to translate into, one for all or one for each text.
            alpha: subword regularisation; 0 is the one best segmentation.
            seed: of the subword regularisation.

        Raises:
            QkvError: the model does not translate into `to`.
        """
        languages = [to] * len(texts) if isinstance(to, str) else to
        for language in dict.fromkeys(languages):
            if language not in self.targets:
                raise QkvError(f"the model does not translate into {language!r}: choose from {', '.join(self.targets)}")
        prefix = {language: [self.source.tag(language)] if self.target_tags else [] for language in self.targets}
        rows = _encode(self.source, texts, alpha, seed)
        return [[*prefix[language], *row, END] for language, row in zip(languages, rows, strict=True)]

    def encode_target(self, texts: Sequence[str], *, alpha: float = 0.0, seed: int = 0) -> list[list[int]]:
        """Tokens of each translation, bare: the decoder reads [BEGIN] + tokens and predicts tokens + [END]."""
        return _encode(self.target, texts, alpha, seed)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of target tokens; BEGIN, END and PAD leave no trace."""
        return self.target.decode(ids)


def _encode(tokenizer: Tokenizer, texts: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
    return tokenizer.encode_sampled(texts, alpha=alpha, seed=seed) if alpha else tokenizer.encode(texts)
