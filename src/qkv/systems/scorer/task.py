"""Training CLIP: which caption of a batch is a picture's, and which picture a caption's (Radford et al. 2021)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qkv.config import parse
from qkv.data.captions.data import CaptionBatch, CaptionData, CaptionDataConfig
from qkv.data.pictures.preprocessing import Interpolation, Preprocessing, Resize
from qkv.data.randomness import derive_seed, permute
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.figures.gallery import draw_samples
from qkv.files import atomic_file
from qkv.model_directory import CONFIG, read_config, read_weights, save_model
from qkv.models.clip import CLIP, CLIPConfig
from qkv.models.weights import set_weights
from qkv.reporter import Reporter
from qkv.systems.card import scorer_card
from qkv.systems.initial import refuse_other_sizes

_TOKENIZER = "tokenizer.model"

_Embedded = tuple[Float[Tensor, "B E"], Float[Tensor, "B E"], Int[Tensor, "B"], Int[Tensor, "B T"]]
"""Pictures and captions in the shared space, the numbers of the pictures, and the tokens of the captions."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """Everything about training a scorer but the loop.

    Attributes:
        data: what to train and validate on. Its batch size is how many captions a picture is told from.
        tokenizer: how to cut captions into tokens.
        model: its sizes.
        candidates: captions among which validation looks for a picture's, and pictures for a caption's; all of them
            where there are fewer.
        resize: `crop` keeps the proportions and cuts off what is too much, `squash` keeps everything.
        crop: share of the shorter side that is kept by `crop`.
        interpolation: when pictures are resized.
    """

    data: CaptionDataConfig
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: CLIPConfig = field(default_factory=CLIPConfig)
    candidates: int = 100
    resize: Resize = "crop"
    crop: float = 1.0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if self.candidates < 2:
            raise ValueError(f"candidates must be at least 2, not {self.candidates}")
        if self.data.batch_size < 2:
            raise ValueError("data.batch_size must be at least 2: a picture is told from the others of its batch")
        if self.data.text_length != self.model.text.text_length:
            raise ValueError(
                f"data.text_length ({self.data.text_length}) and model.text.text_length "
                f"({self.model.text.text_length}) must be equal"
            )
        _ = self.preprocessing  # refuses what does not fit together

    @property
    def preprocessing(self) -> Preprocessing:
        """From a picture to what the model reads: numbers from -1 to 1."""
        sizes = self.model.image
        half = (0.5,) * sizes.channels
        return Preprocessing(
            size=sizes.image_size,
            channels=sizes.channels,
            mean=half,
            std=half,
            resize=self.resize,
            crop=self.crop,
            interpolation=self.interpolation,
        )


class ContrastiveTask:
    """A scorer with its captioned pictures.

    The loss of a pair depends on its batch: a picture is told from the captions of the other pictures there. Batches
    that are accumulated, or that other processes train on, are averaged over, each told apart in itself. So they make
    the gradient less noisy, and the task no harder; only `data.batch_size` does. An epoch's last batch may be smaller.

    A picture is not told from captions that it has too, and which another pair of the batch happens to show.
    """

    Config = ContrastiveConfig
    unit = "pairs"
    score = "retrieval"

    def __init__(self, config: ContrastiveConfig, data: CaptionData, model: CLIP, seed: int) -> None:
        self.config, self.data, self.model = config, data, model
        self._seed = seed

    @classmethod
    def create(
        cls, config: ContrastiveConfig, folder: Path, seed: int, reporter: Reporter, initial: Path | None = None
    ) -> "ContrastiveTask":
        """Find the pictures, report on them, and build a model.

        Args:
            config: data and model.
            folder: for what is derived from the data, and `samples.png`, a sheet of pictures with captions.
            seed: of held-out pictures and data order.
            reporter: is told of the work, and of what the data is like.
            initial: a scorer whose tokenizer and weights to start from; new ones are made otherwise.

        Raises:
            QkvError: the data cannot be used, or the initial model is of other sizes.
        """
        trained = None if initial is None else _tokenizer_of(initial, config)
        place = folder / "data"
        data = CaptionData.open(config.data, config.tokenizer, config.preprocessing, place, seed, reporter, trained)
        reporter.say(data.report.to_table())
        samples = folder / "samples.png"
        if not samples.exists():
            with atomic_file(samples) as temporary:
                temporary.write_bytes(draw_samples(*data.samples()))
        reporter.say(f"samples: {samples}")
        model = CLIP(config.model, len(data.tokenizer))
        if initial is not None:
            set_weights(model, read_weights(initial), str(initial))
        parameters = sum(parameter.numel() for parameter in model.parameters())
        reporter.say(f"{parameters:,} parameters, vocabulary {len(data.tokenizer):,}")
        return cls(config, data, model, seed)

    def n_batches(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return self.data.n_batches(epoch)

    def batch(self, epoch: int, index: int) -> CaptionBatch:
        """One batch."""
        return self.data.batch(epoch, index)

    def check_length(self, max_steps: int) -> None:
        """Any number of steps will do."""

    def begin_step(self, step: int) -> None:
        """Nothing here follows the steps."""

    def end_step(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Keep the scale of the cosines in bounds."""
        self.model.clip_scale()

    def step_metrics(self) -> dict[str, float]:
        """The scale of the cosines: at its bound, the model is as sure as it can be."""
        return {"scale": self.model.scale.item()}

    def denominators(self, batch: CaptionBatch) -> dict[str, float]:
        """Pairs of a picture and a caption."""
        return {"pairs": float(len(batch.lengths))}

    def losses(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """The contrastive loss, summed over pairs."""
        assert batch.images is not None
        logits = self.model(batch.images, batch.captions, batch.lengths)
        return {"pairs": contrastive_loss(logits, belong(batch.pictures, batch.captions))}

    def evaluate(self) -> dict[str, float]:
        """How well pictures and captions find each other.

        Returns:
            `loss`; `image_to_text` and `text_to_image`, how often the best of the candidates is right, in percent
            (accuracy at 1), and `retrieval`, the mean of both; `scale` of the cosines.
        """
        device, loss = self.model.log_scale.device, 0.0
        parts: list[_Embedded] = []
        for batch in self.data.validation_batches():
            assert batch.images is not None
            here = batch.to(device)
            images = self.model.embed_images(batch.images.to(device))
            captions = self.model.embed_captions(here.captions, here.lengths)
            parts.append((images, captions, here.pictures, here.captions))
            loss += contrastive_loss(self.model.logits(images, captions), belong(*parts[-1][2:])).item()
        images, captions, pictures, tokens = map(torch.cat, zip(*parts, strict=True))
        found = {"image_to_text": 0, "text_to_image": 0}
        for rows, new in self._candidates(len(pictures)):
            rows = rows.to(device)
            right = belong(pictures[rows], tokens[rows])
            cosines = images[rows] @ captions[rows].T
            found["image_to_text"] += int(finds(cosines, right)[:new].sum())
            found["text_to_image"] += int(finds(cosines.T, right.T)[:new].sum())
        shares = {name: 100 * count / len(pictures) for name, count in found.items()}
        retrieval = sum(shares.values()) / len(shares)
        return {"loss": loss / len(pictures), **shares, "retrieval": retrieval, "scale": self.model.scale.item()}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory."""
        config = {
            "model": asdict(self.config.model),
            "vocabulary": len(self.data.tokenizer),
            "languages": self.data.languages,
            "preprocessing": asdict(self.config.preprocessing),
        }
        parameters = sum(weight.numel() for weight in weights.values())
        card = scorer_card(self.config, facts, parameters, self.data.n_train)
        files = {"README.md": card.encode(), _TOKENIZER: self.data.tokenizer.to_bytes()}
        save_model(folder, system="clip", config=config, weights=weights, files=files)

    def _candidates(self, n_pairs: int) -> Iterator[tuple[Int[Tensor, "C"], int]]:
        """Sets of validation pairs, of one size, the same at each validation; and how many of each are new.

        Every pair is new once, at the beginning of its set; where the last set is not full, pairs of the first fill it.
        """
        size = min(self.config.candidates, n_pairs)
        order = torch.from_numpy(permute(np.arange(n_pairs), n_pairs, derive_seed(self._seed, "candidates")))
        for start in range(0, n_pairs, size):
            yield order[(start + torch.arange(size)) % n_pairs], min(size, n_pairs - start)


def belong(pictures: Int[Tensor, "B"], captions: Int[Tensor, "B T"]) -> Bool[Tensor, "B B"]:
    """Which captions (columns) are right for a picture (rows): those that it has in any of these pairs.

    Args:
        pictures: a number for each.
        captions: tokens, padded alike.
    """
    same_picture = pictures[:, None] == pictures
    same_caption = (captions[:, None] == captions).all(dim=2)
    return same_picture.float() @ same_caption.float() > 0


def contrastive_loss(logits: Float[Tensor, "B B"], right: Bool[Tensor, "B B"]) -> Float[Tensor, ""]:
    """Symmetric cross-entropy, in nats, summed over pairs (Radford et al. 2021, figure 3).

    Args:
        logits: scaled cosines; a picture a row, a caption a column, and what belongs together on the diagonal.
        right: what belongs together; but for the diagonal left out of the softmax, as neither right nor wrong.
    """
    own = torch.arange(len(logits), device=logits.device)
    logits = logits.masked_fill(right & (own[:, None] != own), -torch.inf)
    by_picture, by_caption = (F.cross_entropy(rows, own, reduction="sum") for rows in (logits, logits.T))
    return (by_picture + by_caption) / 2


def finds(scores: Float[Tensor, "B C"], right: Bool[Tensor, "B C"]) -> Bool[Tensor, "B"]:
    """Which rows score one that is right above all that are wrong; a tie is no find."""
    best_right, best_wrong = (scores.masked_fill(~which, -torch.inf).amax(dim=1) for which in (right, ~right))
    return best_right > best_wrong


def _tokenizer_of(initial: Path, config: ContrastiveConfig) -> Tokenizer:
    """The tokenizer of the scorer to start from, once its sizes are known to be the configured ones."""
    tokenizer = Tokenizer.load(initial / _TOKENIZER)
    known = parse(CLIPConfig, read_config(initial)["model"], f"{initial / CONFIG}: model")
    refuse_other_sizes(_sizes(config.model, config.tokenizer.vocabulary), _sizes(known, len(tokenizer)))
    return tokenizer


def _sizes(model: CLIPConfig, vocabulary: int) -> dict[str, Any]:
    """By their names in a recipe."""
    parts = {"image": asdict(model.image), "text": asdict(model.text)}
    sizes = {f"model.{part}.{name}": size for part, fields in parts.items() for name, size in fields.items()}
    return {**sizes, "model.d_shared": model.d_shared, "tokenizer.vocabulary": vocabulary}
