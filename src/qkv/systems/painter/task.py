"""Training DALL-E's decoder: cross-entropy of captions and of codes, drawn previews, export (Ramesh et al. 2021)."""

import filecmp
import logging
import math
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from qkv.config import parse
from qkv.data.captions.code_cache import PictureEncoder
from qkv.data.captions.data import CaptionBatch, CaptionData, CaptionDataConfig
from qkv.data.pictures.preprocessing import Preprocessing, to_images
from qkv.data.randomness import derive_seed
from qkv.data.text.padding import pad_captions
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.errors import QkvError
from qkv.figures.gallery import draw_gallery
from qkv.files import atomic_file, atomic_folder
from qkv.generation import Sampling
from qkv.model_directory import CONFIG, WEIGHTS, find_model, local_model, read_config, read_weights, save_model
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import get_weights, part_of, set_weights
from qkv.reporter import Reporter
from qkv.systems.card import painter_card
from qkv.systems.initial import refuse_other_sizes
from qkv.systems.painter.drawing import draw_codes

_log = logging.getLogger(__name__)
_DRAWINGS, _TOKENIZER = "drawings.png", "tokenizer.model"
_DRAWN, _EACH = 4, 8  # captions of a preview, and pictures of each
_PADDING = -100  # no token, and so no target


@dataclass(frozen=True, kw_only=True)
class TextToImageConfig:
    """Everything about training a painter but the loop.

    Attributes:
        codes: the discrete VAE that makes codes of pictures: a model directory or a run.
        data: what to train and validate on.
        tokenizer: how to cut captions into tokens.
        model: its sizes.
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
        if not 0 <= self.guidance < math.inf:
            raise ValueError(f"guidance must be a number from 0 up, not {self.guidance}")
        if self.guidance != 1 and self.caption_dropout == 0:
            raise ValueError(f"guidance {self.guidance} needs pictures without their captions: raise caption_dropout")
        if self.data.text_length != self.model.text_length:
            raise ValueError(
                f"data.text_length ({self.data.text_length}) and model.text_length ({self.model.text_length}) "
                "must be equal"
            )


class TextToImageTask:
    """A painter with its captioned pictures."""

    Config = TextToImageConfig
    unit = "codes"
    score = "code_likelihood"

    def __init__(
        self, config: TextToImageConfig, data: CaptionData, model: Dalle, codes: "_Codes", seed: int, folder: Path
    ) -> None:
        self.config, self.data, self.model = config, data, model
        self._codes, self._seed, self._folder = codes, seed, folder
        self._drawings = b""

    @classmethod
    def create(
        cls, config: TextToImageConfig, folder: Path, seed: int, reporter: Reporter, initial: Path | None = None
    ) -> "TextToImageTask":
        """Find the pictures, make codes of them, report on them, and build a model.

        Args:
            config: data and model.
            folder: for what is derived from the data, a copy of the discrete VAE, and `drawings.png`, drawn at each
                validation.
            seed: of held-out pictures, data order and left-out captions.
            reporter: is told of the work, and of what the data is like.
            initial: a painter whose tokenizer and weights to start from; new ones are made otherwise.

        Raises:
            QkvError: the data or the discrete VAE cannot be used, or the initial model is of other sizes or codes.
        """
        codes = _Codes.find(config.codes, folder / "codes")
        sizes = codes.model.config
        if sizes.grid != config.model.grid:
            raise QkvError(
                f"model.grid is {config.model.grid}, but {config.codes} makes {sizes.grid} x {sizes.grid} codes of a "
                f"picture: set it to {sizes.grid}"
            )
        trained = None if initial is None else _tokenizer_of(initial, config, codes)
        data = CaptionData.open(
            config.data, config.tokenizer, codes.preprocessing, folder / "data", seed, reporter, trained
        )
        reporter.say(data.report.to_table())
        data.encode(codes.encoder(), folder / "data", reporter)
        model = Dalle(config.model, len(data.tokenizer), sizes.codes)
        if initial is not None:
            set_weights(model, part_of(read_weights(initial), "dalle"), str(initial))
        reporter.say(
            f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {len(data.tokenizer):,}; "
            f"{config.model.image_length} codes of {sizes.codes:,} a picture",
        )
        codes.keep(folder / "codes")
        return cls(config, data, model, codes, seed, folder)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return self.data.n_batches(epoch)

    def batch(self, epoch: int, index: int) -> CaptionBatch:
        """One batch; which captions are left out is drawn from (seed, epoch, index)."""
        batch = self.data.batch(epoch, index)
        draw = np.random.default_rng(derive_seed(self._seed, "caption dropout", epoch, index))
        shown = torch.from_numpy(draw.random(len(batch.lengths)) >= self.config.caption_dropout)
        return replace(batch, lengths=batch.lengths * shown)

    def denominators(self, batch: CaptionBatch) -> dict[str, float]:
        """Tokens of captions, one at least, and codes of pictures."""
        assert batch.codes is not None
        return {"text tokens": max(float(batch.lengths.sum()), 1.0), "codes": float(batch.codes.numel())}

    def losses(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Weighted cross-entropies, each summed over its tokens."""
        text, image = self._cross_entropies(batch, self.config.code_noise)
        weight = self.config.text_weight
        return {"text tokens": weight * text, "codes": (1 - weight) * image}

    def evaluate(self) -> dict[str, float]:
        """How well captions tell what their pictures look like.

        Returns:
            `loss`; `text` and `image`, nats a token; `code_likelihood`, the geometric mean of the probabilities of
            the right codes, in percent.
        """
        sums = {"text": 0.0, "image": 0.0}
        tokens = {"text": 0.0, "image": 0.0}
        device = self.model.image_head.weight.device
        for batch in self.data.validation_batches():
            text, image = self._cross_entropies(batch.to(device))
            counts = self.denominators(batch)
            for name, value, count in (("text", text, "text tokens"), ("image", image, "codes")):
                sums[name] += value.item()
                tokens[name] += counts[count]
        means = {name: total / tokens[name] for name, total in sums.items()}
        weight = self.config.text_weight
        loss = weight * means["text"] + (1 - weight) * means["image"]
        self._draw()
        return {"loss": loss, **means, "code_likelihood": 100 * math.exp(-means["image"])}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory that holds the decoder and the discrete VAE."""
        dtype = next(iter(weights.values())).dtype
        both = {f"dalle.{name}": weight for name, weight in weights.items()}
        both |= {f"dvae.{name}": weight.to(dtype) for name, weight in get_weights(self._codes.model).items()}
        config = {
            "model": asdict(self.config.model),
            "vocabulary": len(self.data.tokenizer),
            "languages": self.data.languages,
            "dvae": asdict(self._codes.model.config),
            "preprocessing": asdict(self._codes.preprocessing),
            "guidance": self.config.guidance,
        }
        parameters = sum(weight.numel() for weight in both.values())
        card = painter_card(self.config, self._codes.model.config, facts, parameters, self.data.n_train)
        tokenizer = self.data.tokenizer.to_bytes()
        files = {"README.md": card.encode(), _TOKENIZER: tokenizer, _DRAWINGS: self._drawings}
        save_model(folder, system="dalle", config=config, weights=both, files=files)

    def _cross_entropies(
        self, batch: CaptionBatch, code_noise: float = 0.0
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Of captions and of pictures, in nats, summed over their tokens."""
        assert batch.codes is not None, "create() has made codes of all pictures"
        read = _mix(batch.codes, code_noise) if code_noise else batch.codes
        text, image = self.model(batch.captions, batch.lengths, read)
        padding = torch.arange(batch.captions.shape[1], device=batch.lengths.device) >= batch.lengths[:, None]
        return _sum_of_nats(text, batch.captions.masked_fill(padding, _PADDING)), _sum_of_nats(image, batch.codes)

    def _draw(self) -> None:
        """Draw a few validation captions, by the path that `qkv draw` takes."""
        captions = list(dict.fromkeys(self.data.validation_texts(_DRAWN)))
        device = self.model.image_head.weight.device
        tokens, lengths = pad_captions(self.data.tokenizer.encode(captions), self.config.model.text_length)
        n_codes, grid = self.config.model.image_length, self.config.model.grid
        strategy = Sampling(n=_EACH)
        rows = tokens.to(device), lengths.to(device)
        codes = draw_codes(self.model, *rows, n_codes, strategy, guidance=self.config.guidance).cpu()
        with torch.inference_mode():
            images = to_images(self._codes.model.decode(codes.view(-1, grid, grid)))
        self._drawings = draw_gallery([images[i : i + _EACH] for i in range(0, len(images), _EACH)], captions)
        with atomic_file(self._folder / _DRAWINGS) as temporary:
            temporary.write_bytes(self._drawings)


def _mix(codes: Int[Tensor, "B N"], share: float) -> Int[Tensor, "B N"]:
    """Codes of which up to `share` are those of the next picture of the batch at the same place."""
    shares = share * torch.rand(len(codes), 1, device=codes.device)
    return torch.where(torch.rand(codes.shape, device=codes.device) < shares, codes.roll(1, dims=0), codes)


def _sum_of_nats(logits: Float[Tensor, "B S V"], targets: Int[Tensor, "B S"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=_PADDING, reduction="sum")


@dataclass(frozen=True)
class _Codes:
    """A discrete VAE, and where its files are."""

    folder: Path
    model: DVAE
    preprocessing: Preprocessing

    @classmethod
    def find(cls, name: str, kept: Path) -> "_Codes":
        """Read the one that a run has kept, or else the named one.

        Raises:
            QkvError: there is no such model, it is damaged or of another system.
        """
        if kept.exists():
            folder, original = kept, (local_model(name) or kept) / WEIGHTS
            if original.is_file() and not filecmp.cmp(original, kept / WEIGHTS, shallow=False):
                _log.warning("%s has changed since this run began; the run goes on with its copy, %s", name, kept)
        else:
            try:
                folder = find_model(name)
            except QkvError as error:
                raise QkvError(f"codes: {error}") from None
        saved, where = read_config(folder), str(folder / CONFIG)
        if saved["system"] != "dvae":
            raise QkvError(f"codes: {folder} is of the system {saved['system']!r}; choose a model of the system 'dvae'")
        if not {"model", "preprocessing"} <= saved.keys():
            raise QkvError(f"codes: {where} lacks model or preprocessing; copy or train the model again")
        model = DVAE(parse(DVAEConfig, saved["model"], f"{where}: model"))
        set_weights(model, read_weights(folder), str(folder))
        return cls(folder, model.eval(), parse(Preprocessing, saved["preprocessing"], f"{where}: preprocessing"))

    def encoder(self) -> PictureEncoder:
        """What makes codes of pictures, on the accelerator if there is one."""
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        model = deepcopy(self.model).to(device)
        return PictureEncoder(lambda x: model.encode(x.to(device)), model.config.codes, self.folder / WEIGHTS)

    def keep(self, place: Path) -> None:
        """Copy the files into a run, which then goes on even where the originals have changed or gone."""
        if not place.exists():
            with atomic_folder(place) as temporary:
                for file in self.folder.iterdir():
                    shutil.copyfile(file, temporary / file.name)


def _tokenizer_of(initial: Path, config: TextToImageConfig, codes: _Codes) -> Tokenizer:
    """The tokenizer of the painter to start from, once its sizes and its codes are known to be the configured ones."""
    tokenizer = Tokenizer.load(initial / _TOKENIZER)
    known = asdict(parse(DalleConfig, read_config(initial)["model"], f"{initial / CONFIG}: model"))
    refuse_other_sizes(
        {f"model.{name}": size for name, size in asdict(config.model).items()}
        | {"tokenizer.vocabulary": config.tokenizer.vocabulary},
        {f"model.{name}": size for name, size in known.items()} | {"tokenizer.vocabulary": len(tokenizer)},
    )
    theirs = part_of(read_weights(initial), "dvae")
    ours = {name: weight.half() for name, weight in get_weights(codes.model).items()}  # as they may have been stored
    if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name].half()) for name in ours):
        raise QkvError(f"codes: {config.codes} is not the discrete VAE that {initial} draws with: choose that one")
    return tokenizer
