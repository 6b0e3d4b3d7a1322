"""Text to token ids and back, with SentencePiece. Byte fallback spells what no piece covers, so no text is unknown."""

import io
import logging
import random
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Literal

import sentencepiece

from qkv.characters import without_ignorable
from qkv.config import check_range
from qkv.data.text.subword_sampling import SubwordSampler
from qkv.errors import QkvError, one_line
from qkv.files import regular

PAD, UNK, BEGIN, END = 0, 1, 2, 3

READING = 2
"""Raised when tokenizers come to read the same text as other tokens: token caches carry it in their names."""

_LANGUAGE = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_TAG = re.compile(r"<2(.+)>")
_NEEDED = re.compile(r"required_chars\. \d+ vs (\d+)")
_BYTES_AND_SPECIAL = 256 + 4  # pieces that every vocabulary has
_LEAST_COVERAGE = 0.98  # SentencePiece takes no less
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_TRAINING_CHARACTERS = 2000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How to train a tokenizer: byte-pair encoding (Sennrich et al. 2016) or a unigram language model (Kudo 2018).

    Sampling is subword regularisation while a model is trained; 0 is none. For bpe it is the probability of leaving a
    merge out (Provilkov et al. 2020), for unigram the smoothing exponent (Kudo 2018); 0.1 is usual for both.

    Attributes:
        kind: byte-pair encoding (Sennrich et al. 2016) or a unigram language model (Kudo 2018).
        vocabulary: pieces, with the 256 bytes and special tokens; lowered (it warns) where the text has fewer.
        separate: a vocabulary for the source and one for the target; for a single direction only.
        sampling: of the sources.
        sample_target: of the targets too.
        character_coverage: share of the text's characters that become pieces; bytes spell the rest.
        normalization: SentencePiece's rule: "nmt_nfkc" folds compatibility characters and odd spaces together,
            "identity" keeps every character (full-width punctuation, ligatures) as it is. Either way, characters
            that nobody sees (`qkv.characters.without_ignorable`) are left out before.
    """

    kind: Literal["bpe", "unigram"] = "bpe"
    vocabulary: int = 8000
    separate: bool = False
    sampling: float = 0.0
    sample_target: bool = False
    character_coverage: float = 0.9999
    normalization: Literal["nmt_nfkc", "identity"] = "nmt_nfkc"

    def __post_init__(self) -> None:
        check_range(self, 1, 2**20, "vocabulary")
        if not 0 <= self.sampling <= 1:
            raise ValueError(f"sampling must lie between 0 (none) and 1, not {self.sampling}")
        if self.sample_target and not self.sampling:
            raise ValueError("sample_target needs sampling above 0: set it to 0.1, say")
        if not _LEAST_COVERAGE <= self.character_coverage <= 1:
            bounds = f"between {_LEAST_COVERAGE} and 1"
            raise ValueError(f"character_coverage must lie {bounds}, not {self.character_coverage}")


class Tokenizer:
    """A trained SentencePiece model. Ids 0 to 3 are always PAD, UNK, BEGIN and END."""

    def __init__(self, proto: bytes) -> None:
        self._proto = proto
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
        special = tuple(getattr(self._processor, name)() for name in ("pad_id", "unk_id", "bos_id", "eos_id"))
        if special != (PAD, UNK, BEGIN, END):
            raise QkvError(f"the tokenizer numbers its special tokens {special}, not (0, 1, 2, 3): train it with qkv")
        controls = [i for i in range(len(self)) if self._processor.is_control(i)]
        tags = {i: _TAG.fullmatch(self._processor.id_to_piece(i)) for i in controls}
        self._tags = {match[1]: i for i, match in tags.items() if match}

    @classmethod
    def train(cls, lines: Iterable[str], config: TokenizerConfig, languages: Sequence[str] = ()) -> "Tokenizer":
        """Learn pieces from text, and tags for languages; the same text and configuration give the same tokenizer.

        SentencePiece holds the lines in memory, so pass a sample of a large corpus. They are read again, if they can
        be, when their characters do not fit into the vocabulary.

        Raises:
            QkvError: there is no text, or the vocabulary has no room for bytes and special tokens.
        """
        for language in languages:
            if not _LANGUAGE.fullmatch(language):
                raise QkvError(f"{language!r} is no language code: use letters, digits, '-' and '_', as in 'pt-BR'")
        try:
            model = _learn(lines, config, languages, config.character_coverage)
        except _TooSmall:
            if iter(lines) is lines:
                raise
            model = _learn(lines, config, languages, _fewer_characters(lines, config, languages))
        tokenizer = cls(model)
        if len(tokenizer) < config.vocabulary:
            _log.warning("the text supports %d pieces, not %d: vocabulary lowered", len(tokenizer), config.vocabulary)
        return tokenizer

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a SentencePiece model file; a QkvError if it is missing or holds something else."""
        try:
            return cls(regular(path).read_bytes())
        except OSError as error:
            raise QkvError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        except RuntimeError as error:
            raise QkvError(f"{path} is not a SentencePiece model: restore the file or train the model again") from error

    def to_bytes(self) -> bytes:
        """The SentencePiece model file."""
        return self._proto

    def __len__(self) -> int:
        return len(self._processor)

    def tag(self, language: str) -> int:
        """The id of `<2language>`, a control symbol: no text encodes to it, not even "<2de>" itself."""
        if language not in self._tags:
            raise QkvError(f"no language {language!r} here: choose from {', '.join(self._tags) or 'none'}")
        return self._tags[language]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without BEGIN and END."""
        return self._processor.encode([_read(text) for text in texts], num_threads=1)

    def encode_sampled(self, texts: Sequence[str], *, alpha: float, seed: int) -> list[list[int]]:
        """Token ids of a random segmentation of each text: subword regularisation, the same for the same seed."""
        draw = random.Random(seed)
        return [self._sampler.sample(_read(text), alpha, draw) for text in texts]

    @cached_property
    def _sampler(self) -> SubwordSampler:
        return SubwordSampler(self._processor)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each sequence; PAD, BEGIN, END and tags leave no trace."""
        return [self._processor.decode([int(i) for i in row]) for row in ids]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece behind each id, as SentencePiece writes it: "▁" is a space, "<0xC3>" a byte."""
        return [self._processor.id_to_piece(int(i)) for i in ids]


def needed_vocabulary(texts: Iterable[str]) -> int:
    """The vocabulary that has room for the characters of texts, and for as many pieces of several characters.

    It is that of the usual `TokenizerConfig`: the rarest characters, by its `character_coverage`, are left to bytes.
    """
    counts = Counter[str]()
    for text in texts:
        counts.update(unicodedata.normalize("NFKC", text))
    covered = accumulate(count for _, count in counts.most_common())
    characters = sum(before < TokenizerConfig.character_coverage * counts.total() for before in chain([0], covered))
    return _BYTES_AND_SPECIAL + 2 * characters


def seconds_to_learn(lines: Iterable[str], config: TokenizerConfig) -> float | None:
    """How long `Tokenizer.train` takes here with some lines, by trying; about in proportion to their number.

    None where it takes them for too few characters or too many.
    """
    begin = time.monotonic()
    try:
        _learn(lines, config, (), config.character_coverage)
    except QkvError:
        return None
    return time.monotonic() - begin


class _TooSmall(QkvError):
    """A vocabulary has no room for the characters of the text."""


def _learn(lines: Iterable[str], config: TokenizerConfig, languages: Sequence[str], coverage: float) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_pieces_of(lines),
            model_writer=model,
            model_type=config.kind,
            vocab_size=config.vocabulary,
            hard_vocab_limit=False,  # fewer pieces where the text does not hold so many
            byte_fallback=True,
            character_coverage=coverage,
            normalization_rule_name=config.normalization,
            control_symbols=[f"<2{language}>" for language in languages],
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BEGIN,
            eos_id=END,
            max_sentence_length=4 * _MAX_TRAINING_CHARACTERS + 1,
            num_threads=4,  # fixed, since the order of the unigram trainer's sums depends on it
            minloglevel=2,
        )
    except RuntimeError as error:
        if needed := _NEEDED.search(str(error)):
            need = f"bytes, tags and the text's own characters need {needed[1]} pieces; raise it"
            raise _TooSmall(f"tokenizer.vocabulary {config.vocabulary} is too small: {need}") from error
        if "empty()" in str(error) or "all_chars_count" in str(error):
            raise QkvError("no text to train the tokenizer on: every line is blank") from error
        said = f"SentencePiece could not train a tokenizer of {config.vocabulary} pieces: {one_line(error)}"
        raise QkvError(said) from error
    return model.getvalue()


def _fewer_characters(lines: Iterable[str], config: TokenizerConfig, languages: Sequence[str]) -> float:
    """A coverage that leaves the rarest characters to bytes, and half of the room to pieces of several characters."""
    room = config.vocabulary - _BYTES_AND_SPECIAL - len(languages)
    if room < 2:
        taken = f"bytes, special tokens and tags take {config.vocabulary - room}"
        raise QkvError(f"tokenizer.vocabulary {config.vocabulary} is too small: {taken}; raise it well above that")
    counts = Counter(chain.from_iterable(map(_read, lines)))
    kept = sum(count for _, count in counts.most_common(room // 2))
    _log.warning("a vocabulary of %d has no room for all %d characters", config.vocabulary, len(counts))
    return max(kept / counts.total(), _LEAST_COVERAGE)


def _pieces_of(lines: Iterable[str]) -> Iterator[str]:
    """Over-long lines in parts: SentencePiece would skip them."""
    for line in lines:
        for start in range(0, len(line), _MAX_TRAINING_CHARACTERS):
            yield _read(line[start : start + _MAX_TRAINING_CHARACTERS])


def _read(text: str) -> str:
    """What a tokenizer reads of a text, in training and in use alike."""
    return without_ignorable(without_surrogates(text))


def without_surrogates(text: str) -> str:
    """Text that has a UTF-8 form: lone surrogates, which JSON escapes can smuggle in, become U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
