"""Sentences of many languages to the token ids of one model, and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qkv.data.text.tokenizer import END, Tokenizer
from qkv.errors import QkvError

SHARED, SOURCE, TARGET = "tokenizer.model", "source.model", "target.model"

Direction = tuple[str, str]


def format_direction(direction: Direction) -> str:
    """("en", "de") as "en-de"."""
    return "-".join(direction)


def format_directions(directions: Iterable[Direction]) -> str:
    """Several of them, with commas between."""
    return ", ".join(map(format_direction, directions))


@dataclass(frozen=True)
class Codec:
    """The tokenizers of a translator, and which language it translates into which."""

    source: Tokenizer
    target: Tokenizer  # the same object as `source` where the vocabulary is shared
    directions: tuple[Direction, ...]  # (from, to) pairs the model is trained for
    target_tags: bool  # the source begins with the tag of the target language; always so with several directions

    def __post_init__(self) -> None:
        if not self.directions:
            raise QkvError("the model has no direction: give at least one, such as [en, de]")
        if self.target_tags:
            for target in self.targets:
                self.source.tag(target)
        elif len(self.directions) > 1:
            raise QkvError(f"{len(self.directions)} directions need target_tags: nothing else tells them apart")

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, object]) -> "Codec":
        """Read the tokenizers of a model folder, and `directions` and `target_tags` of its config.json."""
        directions, target_tags = config.get("directions"), config.get("target_tags")
        if not isinstance(directions, Iterable) or not isinstance(target_tags, bool):
            raise QkvError(f"{folder / 'config.json'} lacks directions or target_tags: it is no translator's")
        if (folder / SOURCE).exists():
            source, target = Tokenizer.load(folder / SOURCE), Tokenizer.load(folder / TARGET)
        else:
            source = target = Tokenizer.load(folder / SHARED)
        return cls(source, target, tuple((from_, to) for from_, to in directions), target_tags)

    def redirected(self, directions: tuple[Direction, ...]) -> "Codec":
        """The same tokenizers for other directions; a QkvError where they do not suit these."""
        try:
            return replace(self, directions=directions)
        except QkvError as error:
            what = f"the initial model's tokenizer does not suit {format_directions(directions)}"
            raise QkvError(f"{what}: {error}") from error

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

    def encode_source(self, texts: Sequence[str], to: str) -> list[list[int]]:
        """What the encoder reads of each text: [tag of `to`, if there are tags] + tokens + [END]."""
        if to not in self.targets:
            raise QkvError(f"the model does not translate into {to!r}: choose from {', '.join(self.targets)}")
        prefix = [self.source.tag(to)] if self.target_tags else []
        return [[*prefix, *row, END] for row in self.source.encode(texts)]

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each translation, bare: the decoder reads [BEGIN] + tokens and predicts tokens + [END]."""
        return self.target.encode(texts)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of target tokens; BEGIN, END and PAD leave no trace."""
        return self.target.decode(ids)
