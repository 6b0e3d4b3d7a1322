"""Pictures with captions, ready for training: checked, tokenized, some of them held out, cut into batches."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from qkv.config import check_range, nearest
from qkv.data.cache import digest
from qkv.data.captions.code_cache import Codes, PictureEncoder, cached_codes
from qkv.data.captions.corpus import CaptionCorpus
from qkv.data.captions.report import CaptionReport
from qkv.data.captions.schedule import CaptionSchedule
from qkv.data.captions.sources import UNDETERMINED, CaptionSource
from qkv.data.captions.store import Captions, TokenizedCaptions
from qkv.data.captions.vocabulary import learn_tokenizer
from qkv.data.pictures.preprocessing import Preprocessing, to_images
from qkv.data.pictures.sources import Indices
from qkv.data.randomness import derive_seed, shuffled
from qkv.data.reading import ahead
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.data.unreadable import Substitutes
from qkv.errors import QkvError
from qkv.reporter import Reporter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CaptionDataConfig:
    """What a model of pictures and captions is trained and validated on.

    Attributes:
        train: sources of training pictures.
        validation: sources of validation pictures; if there are none, some are held out of training.
        holdout: share held out if there is no validation, chosen by a hash of each picture's name.
        batch_size: pictures in a batch.
        text_length: tokens of a caption that are read; what is longer is cut, and counted in the report.
        languages: how often each is shown, as weights; 1 for each that is not named.
        flip: mirror every other training picture. Not for captions that tell left from right.
    """

    train: list[CaptionSource]
    validation: list[CaptionSource] = field(default_factory=list)
    holdout: float = 0.05
    batch_size: int = 64
    text_length: int = 64
    languages: dict[str, float] = field(default_factory=dict)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("train names no source")
        if not 0 < self.holdout < 1:
            raise ValueError(f"holdout must be above 0 and below 1, not {self.holdout}")
        check_range(self, 1, 2**16, "batch_size", "text_length")
        for language, weight in self.languages.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"languages: the weight of {language} must be positive, not {weight}")
        if any(source.repeat > 1 for source in self.validation):
            raise ValueError("validation shows every picture once: repeat is for training")


@dataclass(frozen=True)
class CaptionBatch:
    """Pictures, as an encoder reads them or as codes, each with one caption."""

    images: Float[Tensor, "B C H W"] | None
    codes: Int[Tensor, "B N"] | None  # row by row
    captions: Int[Tensor, "B T"]  # without BEGIN and END, padded on the right with PAD to `text_length`
    lengths: Int[Tensor, "B"]  # tokens of each caption
    pictures: Int[Tensor, "B"]  # a number for each, the same wherever it is shown


class CaptionData:
    """Captioned pictures to train and to validate on, as batches; each a pure function of (seed, epoch, index).

    An epoch shows every training picture as often as its source says, each time with one of its captions
    (`CaptionSchedule`). Validation shows every picture once in each of its languages, with its first caption there.
    """

    def __init__(
        self,
        config: CaptionDataConfig,
        preprocessing: Preprocessing,
        corpus: CaptionCorpus,
        captions: TokenizedCaptions,
        sampling: float,
        seed: int,
    ) -> None:
        self._config, self._preprocessing, self._corpus = config, preprocessing, corpus
        self._tokenized, self._captions, self._sampling, self._seed = captions, captions.captions, sampling, seed
        self._train, self._train_captions = self._shown(corpus.train)
        self._validation, validation_captions = self._shown(corpus.validation)
        self.n_train, self.n_validation = len(self._train), len(self._validation)  # pictures
        self.tokenizer = captions.tokenizer
        self.languages = [name for name in self._captions.names if name != UNDETERMINED]  # that sources name
        found, shown = (corpus.train, corpus.validation), (self._train, self._validation)
        lost = np.setdiff1d(np.concatenate(found), np.concatenate(shown)).tolist()
        names = map(corpus.pictures.name, lost)
        self.left_out = (*corpus.left_out, *(f"{name} has no caption with a token" for name in names))
        if not self.n_train or not self.n_validation:
            raise QkvError(f"{config.train[0].path}: no caption has a token: check what is taken for captions")
        pairs = np.stack([self._captions.pictures, self._captions.languages], axis=1)[validation_captions]
        self._validation_captions = validation_captions[np.unique(pairs, axis=0, return_index=True)[1]]
        self._schedule = CaptionSchedule(
            np.searchsorted(self._train, self._captions.pictures[self._train_captions]),
            self._captions.languages[self._train_captions],
            _weights(config, self._captions.names),
            seed,
        )
        repeat = np.array([source.source.repeat for source in corpus.sources], np.int64)
        self._repeats = repeat[corpus.pictures.places[self._train, 0]]  # how often an epoch shows each picture
        self._showings = np.repeat(np.arange(self.n_train), self._repeats)  # the row of each, row by row
        self._codes: dict[tuple[int, bool], Codes] | None = None  # by source, and whether they are of flipped pictures
        self._substitutes = Substitutes()
        if cut := self.report.cut:
            _log.warning(
                "%d of %d captions (%.1f %%) have more than text_length (%d) tokens and are cut, as that of %s: %s",
                cut, self.report.captions, 100 * cut / self.report.captions, config.text_length, *self.report.longest,
            )  # fmt: skip

    @classmethod
    def open(
        cls,
        config: CaptionDataConfig,
        tokenizer: TokenizerConfig,
        preprocessing: Preprocessing,
        cache: Path,
        seed: int,
        reporter: Reporter,
        trained: Tokenizer | None = None,
    ) -> "CaptionData":
        """Find the pictures, learn a vocabulary from their captions and tokenize these, as far as `cache` lacks it.

        A `trained` tokenizer is used instead of learning a vocabulary, but sampled from as `tokenizer` says.
        """
        if tokenizer.separate:
            raise QkvError("tokenizer.separate is for translators: captions have one vocabulary; set it to false")
        corpus = CaptionCorpus.open(config.train, config.validation, config.holdout, cache, seed, reporter)
        captions = Captions.open(zip(corpus.sources, corpus.used, strict=True), cache, reporter)
        if trained is None:
            trained = learn_tokenizer(tokenizer, config.train, captions, corpus.train, cache, reporter)
        tokenized = captions.tokenized(trained, cache, reporter)
        return cls(config, preprocessing, corpus, tokenized, tokenizer.sampling, seed)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return -(-len(self._showings) // self._config.batch_size)

    def batch(self, epoch: int, index: int) -> CaptionBatch:
        """A training batch, flips and subword regularisation included."""
        rows, turns = self._turns(epoch, index)
        pairs = zip(turns.tolist(), rows.tolist())
        flips = [self._config.flip and derive_seed(self._seed, "flip", *pair) % 2 == 1 for pair in pairs]
        shown = (self._read(self._train, row, flip) for row, flip in zip(rows.tolist(), flips))
        rows, contents = self._collated(shown)
        chosen = self._train_captions[self._schedule.captions(rows, turns)]
        seed = derive_seed(self._seed, "sampling", epoch, index)
        captions = self._tokenized.batch(chosen, self._config.text_length, self._sampling, seed)
        return CaptionBatch(*contents, *captions, torch.from_numpy(self._train[rows]))

    def validation_batches(self) -> Iterator[CaptionBatch]:
        """All validation pictures as they are, the same batches each time."""
        pictures = self._captions.pictures[self._validation_captions]
        read = partial(self._read, pictures, flip=False)
        for batch in ahead(range(len(pictures)), read, self._config.batch_size):
            rows, contents = self._collated(shown for _, shown in batch)
            captions = self._tokenized.batch(self._validation_captions[rows], self._config.text_length)
            yield CaptionBatch(*contents, *captions, torch.from_numpy(pictures[rows]))

    def validation_texts(self, limit: int | None = None) -> list[str]:
        """The captions of `validation_batches` in order, as text; `limit` of them, evenly spaced, if there are more."""
        chosen = self._validation_captions
        if limit is not None and limit < len(chosen):
            chosen = chosen[np.arange(limit) * len(chosen) // limit]
        return self._tokenized.texts(chosen)

    def encode(self, encoder: PictureEncoder, cache: Path, reporter: Reporter) -> None:
        """Let batches hold codes instead of images from now on; those of all pictures are computed once."""
        codes: dict[tuple[int, bool], Codes] = {}
        first = 0
        for number, (source, used) in enumerate(zip(self._corpus.sources, self._corpus.used, strict=True)):
            for flip in (False, True)[: 1 + self._config.flip]:
                if len(used):
                    state = digest(source.state, repr(self._preprocessing), flip, used.tobytes())
                    images = partial(self._images, first + used, flip)
                    codes[number, flip] = cached_codes(encoder, images, len(used), state, cache, reporter)
            first += len(source)
        self._codes = codes

    @cached_property
    def report(self) -> CaptionReport:
        """What the data is like."""
        parts = {"train": self._train, "validation": self._validation}
        name, length = self._corpus.pictures.name, self._config.text_length
        notes = [note for source in self._corpus.sources for note in source.notes]
        return CaptionReport.of(self._tokenized, parts, name, length, self.left_out, notes)

    def samples(self) -> tuple[list[Image.Image], list[str]]:
        """Some training pictures as the model is shown them, and a caption of each."""
        rows, turns = self._turns(0, 0)
        chosen = self._train_captions[self._schedule.captions(rows, turns)]
        pixels = torch.stack([self._pixels(picture, False) for picture in self._train[rows].tolist()])
        return to_images(pixels / 255), self._tokenized.texts(chosen)

    def _turns(self, epoch: int, index: int) -> tuple[Indices, Indices]:
        """The rows of a training batch, and how many times each was shown before, since training began."""
        positions = shuffled(len(self._showings), self._config.batch_size, self._seed, epoch, index)
        rows = self._showings[positions]
        return rows, epoch * self._repeats[rows] + positions - np.searchsorted(self._showings, rows)

    def _shown(self, pictures: Indices) -> tuple[Indices, Indices]:
        """The pictures, of these, that have a caption with at least one token; and these captions."""
        chosen = np.flatnonzero((self._tokenized.lengths > 0) & np.isin(self._captions.pictures, pictures))
        return np.unique(self._captions.pictures[chosen]), chosen

    def _read(self, pictures: Indices, row: int, flip: bool) -> tuple[int, Tensor]:
        """The row of a picture, or of its substitute, and its codes [N] or pixels [C, H, W]."""
        if self._codes is not None:
            source, number = self._corpus.pictures.places[pictures[row]].tolist()
            place = np.searchsorted(self._corpus.used[source], number)
            return row, torch.from_numpy(self._codes[source, flip][int(place)].astype(np.int64))
        return self._substitutes.read(lambda row: self._pixels(int(pictures[row]), flip), row, len(pictures))

    def _collated(self, shown: Iterable[tuple[int, Tensor]]) -> tuple[Indices, tuple[Tensor | None, Tensor | None]]:
        """The rows that are shown, and their images [B, C, H, W] or codes [B, N]."""
        rows, contents = zip(*shown, strict=True)
        stacked = torch.stack(contents)
        images, codes = (self._preprocessing.normalise(stacked), None) if self._codes is None else (None, stacked)
        return np.array(rows), (images, codes)

    def _pixels(self, picture: int, flip: bool) -> UInt8[Tensor, "C H W"]:
        pixels = self._corpus.pictures.pixels(picture, self._preprocessing)
        return pixels.flip(2) if flip else pixels

    def _images(self, pictures: Indices, flip: bool, piece: range) -> Float[Tensor, "B C H W"]:
        pixels = [self._pixels(picture, flip) for picture in pictures[piece].tolist()]
        return self._preprocessing.normalise(torch.stack(pixels))


def _weights(config: CaptionDataConfig, languages: Sequence[str]) -> NDArray[np.float64]:
    for language in config.languages:
        if language not in languages:
            raise QkvError(f"languages: no caption is in {language!r}; {nearest(language, languages)}")
    return np.array([config.languages.get(language, 1.0) for language in languages])
