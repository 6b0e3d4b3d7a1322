"""Training DALL-E's decoder: cross-entropy of captions and of codes, drawn previews, export (Ramesh et al. 2021)."""

import filecmp
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qkv.config import check_range
from qkv.data.captions.code_cache import PictureEncoder
from qkv.data.captions.data import CaptionBatch, CaptionData, CaptionDataConfig
from qkv.data.randomness import derive_seed
from qkv.data.text.padding import pad_captions
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.errors import QkvError
from qkv.figures.gallery import draw_gallery
from qkv.files import atomic_file, copy_folder, refuse_damage
from qkv.generation import Sampling
from qkv.model_directory import CARD, WEIGHTS, find_model, local_model, read_saved, read_weights, save_model
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.weights import count, get_weights, part_of, set_weights
from qkv.runtime.engine import Engine
from qkv.runtime.memory import new_model
from qkv.systems.codes import SYSTEM as CODES_SYSTEM
from qkv.systems.codes.pipeline import Codes
from qkv.systems.initial import refuse_other_sizes
from qkv.systems.painter.card import card
from qkv.systems.painter.likelihood import likelihood, sums_of_nats, tokens_of
from qkv.systems.painter.pipeline import CODES, DECODER, Painter
from qkv.systems.painter.saved import Saved
from qkv.systems.registry import system_of
from qkv.systems.tokenizer import TOKENIZER
from qkv.train.task import Setting, Task

_log = logging.getLogger(__name__)
_DRAWINGS = "drawings.png"
_DRAWN, _EACH = 4, 8  # captions of a preview, and pictures of each


@dataclass(frozen=True, kw_only=True)
class PainterConfig:
    """Everything about training a painter but the loop.

    Attributes:
        codes: the discrete VAE that makes codes of pictures: a model directory or a run.
        text_weight: of a caption's tokens in the loss; the codes have the rest (section 2.2).
        caption_dropout: share of training pictures that are shown without their caption, which guidance needs (Ho &
            Salimans 2022, section 3.2).
        code_noise: greatest share of a training picture's codes that are read as another picture's at the same place,
            while the right ones are to be told; each picture's own share is uniform from none to this one. Few codes of
            a picture follow from its caption once those before them are known: with noise among these the caption must
            be read, and drawing forgives its own mistakes (as noise does in text, Xie et al. 2017).
        guidance: how closely the painter follows captions (`qkv.generation.Guided`) unless it is told otherwise.
    """

    codes: str
    data: CaptionDataConfig
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: DalleConfig = field(default_factory=DalleConfig)
    text_weight: float = 1 / 8
    caption_dropout: float = 0.1
    code_noise: float = 0.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        for name in ("text_weight", "caption_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 <= self.code_noise <= 1:
            raise ValueError(f"code_noise must be from 0 to 1, not {self.code_noise}")
        check_range(self, 0, 1e3, "guidance")
        if self.guidance != 1 and self.caption_dropout == 0:
            raise ValueError(f"guidance {self.guidance} needs pictures without their captions: raise caption_dropout")
        if self.data.text_length != self.model.text_length:
            raise ValueError(
                f"data.text_length ({self.data.text_length}) and model.text_length ({self.model.text_length}) "
                "must be equal"
            )


class PainterTask(Task[Dalle, CaptionData]):
    """A painter with its captioned pictures."""

    Config = PainterConfig
    unit = "codes"
    score = "code_likelihood"

    def __init__(self, config: PainterConfig, data: CaptionData, model: Dalle, codes: Codes, setting: Setting) -> None:
        self.config, self.data, self.model, self._codes = config, data, model, codes
        self._seed, self._folder, self._drawings = setting.seed, setting.folder, b""

    @classmethod
    def create(cls, config: PainterConfig, setting: Setting) -> "PainterTask":
        """As in `Task`, with codes of all pictures; the tokenizer of the initial model is kept.

        The run keeps a copy of the discrete VAE; `drawings.png` is drawn there at each validation.
        """
        say, initial, place = setting.reporter.say, setting.initial, setting.folder / "data"
        folder = _find_codes(config.codes, setting.folder / "codes")
        codes = Codes.load(folder)
        sizes = codes.model.config
        if sizes.grid != config.model.grid:
            raise QkvError(
                f"model.grid is {config.model.grid}, but {config.codes} makes {sizes.grid} x {sizes.grid} codes of a "
                f"picture: set it to {sizes.grid}"
            )
        trained = None if initial is None else _tokenizer_of(initial, config, codes)
        where = place, setting.seed, setting.reporter
        data = CaptionData.open(config.data, config.tokenizer, codes.preprocessing, *where, trained)
        say(data.report.to_table())
        data.encode(PictureEncoder(codes.encode_images, sizes.codes, folder / WEIGHTS), place, setting.reporter)
        model = new_model(lambda: Dalle(config.model, len(data.tokenizer), sizes.codes))
        if initial is not None:
            set_weights(model, part_of(read_weights(initial), DECODER), str(initial))
        say(
            f"{count(get_weights(model)):,} parameters, vocabulary {len(data.tokenizer):,}; "
            f"{config.model.image_length} codes of {sizes.codes:,} a picture"
        )
        if not (kept := setting.folder / "codes").exists():  # the run goes on where the original has changed or gone
            copy_folder(folder, kept)
        return cls(config, data, model, codes, setting)

    def batch(self, epoch: int, index: int) -> CaptionBatch:
        """One batch; which captions are left out is drawn from (seed, epoch, index)."""
        batch = self.data.batch(epoch, index)
        draw = np.random.default_rng(derive_seed(self._seed, "caption dropout", epoch, index))
        shown = torch.from_numpy(draw.random(len(batch.lengths)) >= self.config.caption_dropout)
        return replace(batch, lengths=batch.lengths * shown)

    def denominators(self, batch: CaptionBatch) -> dict[str, float]:
        """Tokens of captions, one at least, and codes of pictures."""
        text, image = tokens_of(batch)
        return {"text tokens": text, "codes": image}

    def losses(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Weighted cross-entropies, each summed over its tokens."""
        assert batch.codes is not None, "create() has made codes of all pictures"
        read = _mix(batch.codes, self.config.code_noise) if self.config.code_noise else batch.codes
        logits = self.model(batch.captions, batch.lengths, read)
        text, image = sums_of_nats(logits, batch)
        weight = self.config.text_weight
        return {"text tokens": weight * text, "codes": (1 - weight) * image}

    def evaluate(self) -> dict[str, float]:
        """How well captions tell what their pictures look like, in nats a token; draws a few of them too."""
        painter = Painter(self._saved, self.data.tokenizer, Engine(self.model), self._codes)
        text, image = likelihood(painter, self.data.validation_batches())
        self._draw(painter)
        loss = self.config.text_weight * text + (1 - self.config.text_weight) * image
        right = 100 * math.exp(-image)  # the geometric mean of the probabilities of the right codes, in percent
        return {"loss": loss, "text": text, "image": image, "code_likelihood": right}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory that holds the decoder and the discrete VAE."""
        dtype = next(iter(weights.values())).dtype
        both = {f"{DECODER}.{name}": weight for name, weight in weights.items()}
        both |= {f"{CODES}.{name}": weight.to(dtype) for name, weight in get_weights(self._codes.model).items()}
        counted = {"parameters": count(both), "examples": f"{self.data.n_train:,} pictures"}
        text = card(self._saved, {**facts, **counted}, [source.path for source in self.config.data.train])
        files = {CARD: text.encode(), TOKENIZER: self.data.tokenizer.to_bytes(), _DRAWINGS: self._drawings}
        save_model(folder, self._saved, both, files)

    @property
    def _saved(self) -> Saved:
        return Saved(
            model=self.config.model,
            vocabulary=len(self.data.tokenizer),
            languages=tuple(self.data.languages),
            dvae=self._codes.model.config,
            preprocessing=self._codes.preprocessing,
            guidance=self.config.guidance,
        )

    def _draw(self, painter: Painter) -> None:
        """Draw a few validation captions; what is too long of them is cut, as in training."""
        captions = list(dict.fromkeys(self.data.validation_texts(_DRAWN)))
        read = pad_captions(self.data.tokenizer.encode(captions), self.config.model.text_length)
        drawn = painter.draw_tokens(*read, Sampling(n=_EACH), painter.guidance)
        self._drawings = draw_gallery(list(map(painter.images, drawn)), captions)
        with atomic_file(self._folder / _DRAWINGS) as temporary:
            temporary.write_bytes(self._drawings)


def _mix(codes: Int[Tensor, "B N"], share: float) -> Int[Tensor, "B N"]:
    """Codes of which up to `share` are those of the next picture of the batch at the same place."""
    shares = share * torch.rand(len(codes), 1, device=codes.device)
    return torch.where(torch.rand(codes.shape, device=codes.device) < shares, codes.roll(1, dims=0), codes)


def _find_codes(name: str, kept: Path) -> Path:
    """The folder of the discrete VAE that a run has kept, or else of the named one; a QkvError if it is none."""
    if kept.exists():
        refuse_damage(kept)
        folder, original = kept, (local_model(name) or kept) / WEIGHTS
        if original.is_file() and not filecmp.cmp(original, kept / WEIGHTS, shallow=False):
            _log.warning("%s has changed since this run began; the run goes on with its copy, %s", name, kept)
    else:
        try:
            folder = find_model(name)
        except QkvError as error:
            raise QkvError(f"codes: {error}") from None
    if (found := system_of(folder)) != CODES_SYSTEM:
        raise QkvError(f"codes: {folder} is {found.called}, not {CODES_SYSTEM.called}: choose one")
    return folder


def _tokenizer_of(initial: Path, config: PainterConfig, codes: Codes) -> Tokenizer:
    """The tokenizer of the painter to start from, once its sizes and its codes are known to be the configured ones."""
    saved = read_saved(initial, Saved)
    refuse_other_sizes(config.model, saved.model, (config.tokenizer.vocabulary, saved.vocabulary))
    theirs = part_of(read_weights(initial), CODES)  # may have been stored with half the digits
    ours = {name: weight.half().cpu() for name, weight in get_weights(codes.model).items()}
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name].half()) for name in ours):
        raise QkvError(f"codes: {config.codes} is not the discrete VAE that {initial} draws with: choose that one")
    return Tokenizer.load(initial / TOKENIZER)


TASK = PainterTask
