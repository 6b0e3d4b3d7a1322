"""Training CLIP: which caption of a batch is a picture's, and which picture a caption's (Radford et al. 2021)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from qkv.data.captions.data import CaptionBatch, CaptionData, CaptionDataConfig
from qkv.data.pictures.preprocessing import Interpolation, Preprocessing, Resize, fitting
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.figures.gallery import draw_samples
from qkv.files import atomic_file
from qkv.model_directory import CARD, read_saved, read_weights, save_model
from qkv.models.clip import CLIP, CLIPConfig
from qkv.models.weights import count, get_weights, set_weights
from qkv.runtime.engine import Engine
from qkv.runtime.memory import new_model
from qkv.systems.initial import refuse_other_sizes
from qkv.systems.scorer.card import card
from qkv.systems.scorer.pipeline import Scorer
from qkv.systems.scorer.report import Pairs, belong, report
from qkv.systems.scorer.saved import Saved
from qkv.systems.tokenizer import TOKENIZER
from qkv.train.task import Setting, Task


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """Everything about training a scorer but the loop.

    Attributes:
        data: what to train and validate on. Its batch size is how many captions a picture is told from.
        candidates: captions among which validation looks for a picture's, and pictures for a caption's; all of them
            where there are fewer.
        resize, crop, interpolation: as for `Preprocessing`.
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
        n, half = self.model.image.channels, (0.5,) * self.model.image.channels
        return Preprocessing(size=self.model.image.image_size, channels=n, mean=half, std=half, **fitting(self))


class ScorerTask(Task[CLIP, CaptionData]):
    """A scorer with its captioned pictures.

    The loss of a pair depends on its batch: a picture is told from the captions of the other pictures there. Batches
    that are accumulated, or that other processes train on, are averaged over, each told apart in itself. So they make
    the gradient less noisy, and the task no harder; only `data.batch_size` does. An epoch's last batch may be smaller.

    A picture is not told from captions that it has too, and which another pair of the batch happens to show.
    """

    Config = ScorerConfig
    unit = "pairs"
    score = "retrieval"

    def __init__(self, config: ScorerConfig, data: CaptionData, model: CLIP, seed: int) -> None:
        self.config, self.data, self.model, self._seed = config, data, model, seed

    @classmethod
    def create(cls, config: ScorerConfig, setting: Setting) -> "ScorerTask":
        """As in `Task`; draws a sheet of pictures with captions, and keeps the tokenizer of the initial model."""
        say, initial = setting.reporter.say, setting.initial
        trained = None if initial is None else _tokenizer_of(initial, config)
        where = setting.folder / "data", setting.seed, setting.reporter
        data = CaptionData.open(config.data, config.tokenizer, config.preprocessing, *where, trained)
        say(data.report.to_table())
        samples = setting.folder / "samples.png"
        if not samples.exists():
            with atomic_file(samples) as temporary:
                temporary.write_bytes(draw_samples(*data.samples()))
        say(f"samples: {samples}")
        model = new_model(lambda: CLIP(config.model, len(data.tokenizer)))
        if initial is not None:
            set_weights(model, read_weights(initial), str(initial))
        say(f"{count(get_weights(model)):,} parameters, vocabulary {len(data.tokenizer):,}")
        return cls(config, data, model, setting.seed)

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
        """How well pictures and captions find each other, in percent; `retrieval` is the mean of both directions."""
        scorer, scale = Scorer(self._saved, self.data.tokenizer, Engine(self.model)), self.model.scale.item()
        parts = [Pairs.of(scorer, batch) for batch in self.data.validation_batches()]
        loss = sum(contrastive_loss((scale * part.images) @ part.captions.T, part.right).item() for part in parts)
        pairs = Pairs.joined(parts)
        to_text, to_image = (100 * share for share in report(pairs, self.config.candidates, self._seed))
        shares = {"image_to_text": to_text, "text_to_image": to_image, "retrieval": (to_text + to_image) / 2}
        return {"loss": loss / len(pairs.pictures), **shares, "scale": scale}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory."""
        counted = {"parameters": count(weights), "examples": f"{self.data.n_train:,} pictures"}
        sources = [source.path for source in self.config.data.train]
        text = card(self.config.model, self.config.candidates, {**facts, **counted}, sources)
        files = {CARD: text.encode(), TOKENIZER: self.data.tokenizer.to_bytes()}
        save_model(folder, self._saved, weights, files)

    @property
    def _saved(self) -> Saved:
        return Saved(
            model=self.config.model,
            vocabulary=len(self.data.tokenizer),
            languages=tuple(self.data.languages),
            preprocessing=self.config.preprocessing,
        )


def contrastive_loss(logits: Float[Tensor, "B B"], right: Bool[Tensor, "B B"]) -> Float[Tensor, ""]:
    """Symmetric cross-entropy, in nats, summed over pairs (Radford et al. 2021, figure 3).

    A picture is a row of scaled cosines, a caption a column, and a pair on the diagonal. What else is `right` is left
    out of the softmax, as neither right nor wrong.
    """
    own = torch.arange(len(logits), device=logits.device)
    logits = logits.masked_fill(right & (own[:, None] != own), -torch.inf)
    by_picture, by_caption = (F.cross_entropy(rows, own, reduction="sum") for rows in (logits, logits.T))
    return (by_picture + by_caption) / 2


def _tokenizer_of(initial: Path, config: ScorerConfig) -> Tokenizer:
    """The tokenizer of the scorer to start from, once its sizes are known to be the configured ones."""
    saved = read_saved(initial, Saved)
    refuse_other_sizes(config.model, saved.model, (config.tokenizer.vocabulary, saved.vocabulary))
    return Tokenizer.load(initial / TOKENIZER)


TASK = ScorerTask
