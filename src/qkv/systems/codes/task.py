"""Training a discrete VAE: the evidence lower bound, what the codes lose and how many are used, export."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qkv.data.pictures.data import ImageBatch, ImageData, ImageDataConfig
from qkv.data.pictures.preprocessing import Interpolation, Preprocessing, Resize, fitting
from qkv.figures.grid import draw_reconstructions
from qkv.files import atomic_file
from qkv.metrics.codes import codebook_use, perplexity
from qkv.model_directory import CARD, read_weights, save_model
from qkv.models.dvae import DVAE, DVAEConfig, DVAEOutput, Reconstruction, squeeze
from qkv.models.quantiser import VectorQuantiser
from qkv.models.weights import count, get_weights, set_weights
from qkv.runtime.engine import Engine
from qkv.runtime.memory import new_model
from qkv.systems.codes.card import card
from qkv.systems.codes.pipeline import Codes
from qkv.systems.codes.report import CodesMeter
from qkv.systems.codes.saved import Saved
from qkv.train.task import Setting, Task

_log = logging.getLogger(__name__)
_DRAWING = "reconstructions.png"
_LEAST_USE = 10.0  # percent of the codebook
_WEIGHTS = {("gumbel", "logit_laplace"): 6.6, ("vq", "mse"): 0.25, ("vq", "l1"): 0.25}


@dataclass(frozen=True, kw_only=True)
class CodesConfig:
    """Everything about training a discrete VAE but the loop; classes of pictures do not matter.

    Attributes:
        penalty_weight: of the quantiser's penalty in the loss; if not given, 6.6 for `gumbel` with `logit_laplace`
            (Ramesh et al. 2021, appendix A.2) and 0.25 for `vq` with `mse` or `l1` (van den Oord et al. 2017, section
            3.2); other pairs weigh nats against squares.
        penalty_warmup: steps in which that weight grows from 0, as a half cosine.
        temperature: of the relaxation of `gumbel` at last; it starts at 1.
        temperature_steps: steps in which it falls, as a half cosine.
        resize, crop, interpolation: as for `Preprocessing`.
    """

    data: ImageDataConfig
    model: DVAEConfig = field(default_factory=DVAEConfig)
    penalty_weight: float | None = None
    penalty_warmup: int = 5000
    temperature: float = 1 / 16
    temperature_steps: int = 150_000
    resize: Resize = "crop"
    crop: float = 1.0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        for name in ("penalty_warmup", "temperature_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.penalty_weight is None and self._pair not in _WEIGHTS:
            raise ValueError(f"penalty_weight must be given for {' with '.join(self._pair)}: there is no usual one")
        if self.penalty_weight is not None and self.penalty_weight < 0:
            raise ValueError(f"penalty_weight must not be negative, not {self.penalty_weight}")
        if not 0 < self.temperature <= 1:
            raise ValueError(f"temperature must be above 0 and at most 1, not {self.temperature}")
        _ = self.preprocessing  # refuses what does not fit together

    @property
    def preprocessing(self) -> Preprocessing:
        """From a picture to what the model reads: numbers from 0 to 1."""
        n = self.model.channels
        size, mean, std = self.model.image_size, (0.0,) * n, (1.0,) * n
        return Preprocessing(size=size, channels=n, mean=mean, std=std, **fitting(self))

    @property
    def full_weight(self) -> float:
        """The penalty's weight after its warm-up."""
        return _WEIGHTS[self._pair] if self.penalty_weight is None else self.penalty_weight

    @property
    def _pair(self) -> tuple[str, str]:
        return self.model.quantiser, self.model.reconstruction


class CodesTask(Task[DVAE, ImageData]):
    """A discrete VAE with its pictures."""

    Config = CodesConfig
    unit = "images"
    score = "psnr"

    def __init__(self, config: CodesConfig, data: ImageData, model: DVAE, folder: Path) -> None:
        self.config, self.data, self.model, self._folder = config, data, model, folder
        self._drawing = b""
        self._codes: list[Tensor] = []  # of the step that is under way
        self._counts = torch.zeros(config.model.codes, dtype=torch.float64)  # since the last `step_metrics`
        self.begin_step(0)

    @classmethod
    def create(cls, config: CodesConfig, setting: Setting) -> "CodesTask":
        """As in `Task`; `reconstructions.png` is drawn in the run's folder at each validation."""
        place, say, sizes = setting.folder / "data", setting.reporter.say, config.model
        data = ImageData.open(config.data, config.preprocessing, place, setting.seed, setting.reporter, labelled=False)
        say(data.report)
        model = new_model(lambda: DVAE(sizes))
        say(
            f"{count(get_weights(model)):,} parameters; a picture becomes {sizes.grid} x {sizes.grid} codes of "
            f"{sizes.codes:,}, {sizes.grid**2 * math.log2(sizes.codes) / 8:,.0f} bytes"
        )
        if setting.initial is not None:
            set_weights(model, read_weights(setting.initial), str(setting.initial))
        return cls(config, data, model, setting.folder)

    def check_length(self, max_steps: int) -> None:
        """Warn of a temperature or a penalty of `gumbel` that would still be changing when training ends."""
        schedules = {name: getattr(self.config, name) for name in ("temperature_steps", "penalty_warmup")}
        late = {name: steps for name, steps in schedules.items() if steps > max_steps}
        if self.config.model.quantiser == "gumbel" and late:
            when = " and ".join(f"{name} ({steps:,})" for name, steps in late.items())
            _log.warning(
                "training.max_steps (%s) is reached before %s: the quantiser gumbel never comes to its final "
                "temperature and penalty; set %s to %s or less, or training.max_steps higher",
                f"{max_steps:,}",
                when,
                " and ".join(late),
                f"{max_steps:,}",
            )

    def begin_step(self, step: int) -> None:
        """Set the temperature and the penalty's weight (Ramesh et al. 2021, appendix A.2)."""
        config = self.config
        self._warm = step > config.penalty_warmup or config.model.quantiser == "vq"  # nothing holds `vq` to few codes
        # Tensors: a compiled loss would be compiled again for each number.
        self._weight = torch.tensor(anneal(0.0, config.full_weight, step, config.penalty_warmup))
        self._temperature = torch.tensor(anneal(1.0, config.temperature, step, config.temperature_steps))

    def end_step(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Count the codes, and update a codebook that has no gradient, from what all processes saw."""
        counts = torch.bincount(torch.cat(self._codes), minlength=len(self._counts))
        self._counts += gather(counts).sum(dim=0).cpu()
        self._codes.clear()
        if isinstance(self.model.quantiser, VectorQuantiser):
            self.model.quantiser.update(self.model.quantiser.take_statistics().each(gather).merged())

    def step_metrics(self) -> dict[str, float]:
        """Use of the codebook, in percent, and its perplexity; for `gumbel` the temperature."""
        metrics = {"codebook_use": 100 * codebook_use(self._counts), "codebook_perplexity": perplexity(self._counts)}
        self._counts.zero_()
        return metrics | ({} if self.config.model.quantiser == "vq" else {"temperature": self._temperature.item()})

    def denominators(self, batch: ImageBatch) -> dict[str, float]:
        """Pictures."""
        return {"images": float(len(batch.images))}

    def losses(self, batch: ImageBatch) -> dict[str, Tensor]:
        """The negative evidence lower bound, summed over pictures."""
        output = self.model(batch.images, self._temperature)
        self._codes.append(output.codes.flatten())
        return {"images": self._negative_elbo(output, batch.images, self._weight)}

    def evaluate(self) -> dict[str, float]:
        """How well pictures come back from their codes; the loss has the penalty's full weight, use is in percent."""
        codes = Codes(self._saved, Engine(self.model))
        meter, loss, done = CodesMeter(codes, self.data.n_validation), 0.0, 0
        for batch in self.data.validation_batches():
            output, _ = meter.add(range(done, done + len(batch.images)), batch.images)
            loss += self._negative_elbo(output, batch.images, self.config.full_weight).item()
            done += len(batch.images)
        found = meter.report()
        self._drawing = draw_reconstructions(found.originals, found.reconstructions)
        with atomic_file(self._folder / _DRAWING) as temporary:
            temporary.write_bytes(self._drawing)
        use = 100 * found.codebook.use
        self._warn_of_collapse(use)
        metrics = {"loss": loss / done, "psnr": found.psnr, "ssim": found.ssim}
        return metrics | {"codebook_use": use, "codebook_perplexity": found.codebook.perplexity}

    def export(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a model directory; its picture of reconstructions is that of the last validation."""
        counted = {"parameters": count(weights), "examples": f"{self.data.n_train:,} pictures"}
        text = card(self.config.model, {**facts, **counted}, [source.path for source in self.config.data.train])
        save_model(folder, self._saved, weights, {CARD: text.encode(), _DRAWING: self._drawing})

    @property
    def _saved(self) -> Saved:
        return Saved(model=self.config.model, preprocessing=self.config.preprocessing)

    def _negative_elbo(
        self, output: DVAEOutput, images: Float[Tensor, "B C H W"], weight: float | Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Equation 1 of Ramesh et al. 2021, divided by the numbers that make up a picture (appendix A.2)."""
        error = reconstruction_loss(output, images, self.config.model.reconstruction)
        return (error + weight * output.penalty.sum()) / images[0].numel()

    def _warn_of_collapse(self, use: float) -> None:
        if self._warm and use < _LEAST_USE:
            advice = {
                "gumbel": "or penalty_weight, or raise penalty_warmup and temperature_steps",
                "vq": "or training.learning_rate, or raise data.batch_size, so that unused codes find a place",
            }
            _log.warning(
                "only %.1f %% of the %s codes are used: the codebook is collapsing, and pictures lose what the others "
                "could say; lower model.codes %s",
                use,
                f"{self.config.model.codes:,}",
                advice[self.config.model.quantiser],
            )


def anneal(first: float, last: float, step: int, steps: int) -> float:
    """From `first` at step 0 to `last` from `steps` on, as a half cosine (Ramesh et al. 2021, appendix A.2)."""
    if step >= steps:
        return last
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2


def reconstruction_loss(
    output: DVAEOutput, images: Float[Tensor, "B C H W"], kind: Reconstruction
) -> Float[Tensor, ""]:
    """How badly an output tells its pictures, summed over all their numbers: squares, differences or nats."""
    if kind == "mse":
        return (output.mean - images).square().sum()
    if kind == "l1":
        return (output.mean - images).abs().sum()
    assert output.log_scale is not None
    return -logit_laplace(squeeze(images), output.mean, output.log_scale).sum()


def logit_laplace(
    x: Float[Tensor, "*S"], mean: Float[Tensor, "*S"], log_scale: Float[Tensor, "*S"]
) -> Float[Tensor, "*S"]:
    """Log density at `x`, from 0 to 1, of the sigmoid of a Laplace variable (Ramesh et al. 2021, A.3, equation 2)."""
    return -(x.logit() - mean).abs() * (-log_scale).exp() - log_scale - (2 * x * (1 - x)).log()


TASK = CodesTask
