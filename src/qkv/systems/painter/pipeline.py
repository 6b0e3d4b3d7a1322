"""A caption to pictures: tokenizer, decoder and discrete VAE behind `draw`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.text.padding import read_captions
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.figures.grid import draw_side_by_side
from qkv.generation import Guided, Sampling
from qkv.model_directory import read_saved, read_weights
from qkv.models.dalle import Dalle
from qkv.models.dvae import DVAE
from qkv.models.weights import build, part_of
from qkv.runtime.device import Device
from qkv.runtime.engine import Engine, open_engine
from qkv.systems.arguments import checked, texts
from qkv.systems.codes.pipeline import Codes
from qkv.systems.judge import Judge
from qkv.systems.painter.drawing import draw_codes
from qkv.systems.painter.saved import Saved
from qkv.systems.showing import Pictures, ShownModel
from qkv.systems.tokenizer import load_tokenizer

DECODER, CODES = "dalle", "dvae"
"""What the names of the two models' weights begin with, in the one file that holds both."""

_NOT_YET = 127  # grey level of what is still to be drawn

Progress = Callable[[int, int], object]


class DrawingOptions(TypedDict, total=False):
    """Keywords of `Painter.draw`, which says what they mean."""

    n: int
    seed: int
    temperature: float
    top_k: int | None
    top_p: float | None
    guidance: float | None
    prime: Picture | None
    keep_rows: int
    rerank: bool
    scorer: Judge | None


@dataclass(frozen=True)
class Drawing:
    """A drawn picture.

    Attributes:
        image: the picture.
        codes: its codes, row by row.
        score: what candidates were ordered by, if they were: with `rerank` how much likelier the caption makes the
            codes, in nats; else the scorer's.
    """

    image: Image.Image
    codes: Int[Tensor, "N"]
    score: float | None = None

    def __repr__(self) -> str:
        score = "" if self.score is None else f", score {self.score:.2f}"
        return f"<Drawing: {self.image.width} x {self.image.height} pixels{score}>"

    def _repr_png_(self) -> bytes:
        return draw_side_by_side([self.image])


class Painter(ShownModel[Dalle]):
    """A trained DALL-E.

    Attributes:
        model: the decoder.
        codes: the discrete VAE that it draws with: codes to pictures and back.
        tokenizer: of captions.
        guidance: how closely it follows captions unless it is told otherwise.
        batch_size: pictures at once, drawn or made of codes, which bounds the memory.
    """

    def __init__(self, saved: Saved, tokenizer: Tokenizer, engine: Engine[Dalle], codes: Codes) -> None:
        self.knows = saved.knows
        self.model, self.codes, self._engine = engine.model, codes, engine
        self.tokenizer, self.guidance = tokenizer, saved.guidance

    @property
    def batch_size(self) -> int:
        """Pictures at once, drawn or made of codes, which bounds the memory."""
        return self.codes.batch_size

    @batch_size.setter
    def batch_size(self, number: int) -> None:
        self.codes.batch_size = number

    @classmethod
    @checked
    def load(cls, folder: Path, device: Device | None = None) -> "Painter":
        """Read a model folder; runs on the accelerator, if there is one, unless `device` is given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        saved = read_saved(folder, Saved)
        tokenizer = load_tokenizer(folder, saved.vocabulary)
        weights, sizes = read_weights(folder), (saved.model, len(tokenizer), saved.dvae.codes)
        model = build(lambda: Dalle(*sizes), part_of(weights, DECODER), str(folder))
        dvae = build(lambda: DVAE(saved.dvae), part_of(weights, CODES), str(folder))
        codes = Codes(saved.codes, open_engine(dvae, device))
        return cls(saved, tokenizer, open_engine(model, device), codes)

    @overload
    def draw(  # pyright: ignore[reportOverlappingOverload] (a str is an iterable of str, too)
        self, captions: str, *, progress: Progress | None = None, **options: Unpack[DrawingOptions]
    ) -> Pictures: ...

    @overload
    def draw(
        self, captions: Iterable[str], *, progress: Progress | None = None, **options: Unpack[DrawingOptions]
    ) -> list[Pictures]: ...

    @checked
    def draw(
        self, captions: str | Iterable[str], *, progress: Progress | None = None, **options: Unpack[DrawingOptions]
    ) -> Pictures | list[Pictures]:
        """Pictures for a caption, or for each of several, which then give a list of lists.

        The same seed gives the same picture, by itself and anywhere in a batch; more pictures leave the first as they
        were. `progress` is called with the codes chosen so far and how many there will be, of all pictures; the options
        and errors are those of `drawings`.
        """
        given, single = texts(captions, "caption")
        found = self.drawings(given, progress=progress, **options)
        rows = [Pictures(drawing.image for drawing in row) for row in found]
        return rows[0] if single else rows

    @checked
    def drawings(
        self,
        captions: Iterable[str],
        *,
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | None = None,
        prime: Picture | None = None,
        keep_rows: int = 0,
        rerank: bool = False,
        scorer: Judge | None = None,
        progress: Progress | None = None,
    ) -> list[list[Drawing]]:
        """Pictures with their codes, `n` for each caption.

        Args:
            captions: what to draw; several.
            n: pictures for each.
            seed: another seed, other pictures.
            temperature: below 1 is bolder, above 1 more varied.
            top_k: draw each code from the k most probable only.
            top_p: draw each code from the smallest set of most probable ones that holds this much probability.
            guidance: how closely to follow the caption (`Guided`): 1 is as the model learnt it, more is closer and
                less varied; the painter's own unless given.
            prime: a picture whose upper rows are kept.
            keep_rows: how many of the grid's rows are.
            rerank: order the pictures of a caption by how likely the caption is for them, most likely first. By
                Bayes' rule that is the order of log p(picture | caption) - log p(picture), and both terms are the
                model's own: with the caption and without.
            scorer: order them by the judgement of another model instead, best first: a `Scorer`, or a `Classifier` one
                of whose labels each caption names.
            progress: called with the codes chosen so far and how many there will be, of all pictures.

        Raises:
            QkvError: a caption is empty, too long or nothing that the scorer can judge by, the prime is of another
                size, or options contradict one another.
        """
        captions, single = texts(captions, "caption")
        if single:
            raise QkvError("drawings takes a list of captions: put a single one into a list")
        strategy = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, n=n)
        guidance = self.guidance if guidance is None else guidance
        _ = Guided(self.model.decode, guidance)  # refuses what is out of range
        if rerank and scorer is not None:
            raise QkvError("rerank and scorer are two ways to order the pictures: drop one of the two")
        if not isinstance(scorer, Judge | None):
            raise QkvError("scorer must be a model that judges pictures, as qkv.load gives it, such as a Classifier")
        tokens, lengths = read_captions(captions, self.tokenizer, self.model.config.text_length)
        if scorer is not None:
            for caption in captions:  # what it cannot judge by is refused before anything is drawn
                scorer.judge(caption, [])
        given = self._prime(prime, keep_rows)
        if not captions:
            return []
        drawn = self.draw_tokens(tokens, lengths, strategy, guidance, given, progress)
        rows = []
        for number, codes in enumerate(drawn):
            images, scores = self.images(codes), [None] * n
            if rerank:
                scores = self._gains(tokens[number], lengths[number], codes)
            if scorer is not None:
                scores = scorer.judge(captions[number], images)
            row = list(map(Drawing, images, codes, scores))
            rows.append(sorted(row, key=lambda drawing: -(drawing.score or 0.0)))
        return rows

    def draw_tokens(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, "B"],
        strategy: Sampling,
        guidance: float,
        prime: Int[Tensor, "P"] | None = None,
        progress: Progress | None = None,
    ) -> list[Int[Tensor, "S N"]]:
        """Codes of pictures after captions that are tokens already (`draw_codes`), some of them at a time."""
        each = self.model.config.image_length - (0 if prime is None else len(prime))
        done, total = 0, len(tokens) * strategy.n * each
        drawn: list[Int[Tensor, "S N"]] = []
        for part in torch.arange(len(tokens)).split(max(self.batch_size // strategy.n, 1)):
            samples = []
            for first in range(0, strategy.n, self.batch_size):
                here = replace(strategy, first=first, n=min(self.batch_size, strategy.n - first))

                def advance(codes: int = len(part) * here.n) -> None:
                    nonlocal done
                    done += codes
                    if progress is not None:
                        progress(done, total)

                rows = tokens[part], lengths[part], here
                codes = draw_codes(self._engine, *rows, guidance=guidance, prime=prime, on_code=advance)
                samples.append(codes.cpu())
            drawn += torch.cat(samples, dim=1)
        return drawn

    def images(self, codes: Int[Tensor, "B N"]) -> Pictures:
        """The pictures of codes, row by row."""
        grid = self.model.config.grid
        return self.codes.decode(codes.unflatten(1, (grid, grid)))

    def run(
        self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], codes: Int[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B N K"]]:
        """Logits of every token of captions and pictures, each from what stands before it; where the model runs."""
        return self._engine.forward(captions, lengths, codes)

    @checked
    def frames(self, drawing: Drawing, every: int = 1) -> Iterator[Image.Image]:
        """A picture as it forms, `every` so many codes, and whole at last; what is not drawn yet is grey."""
        if every < 1:
            raise QkvError(f"every must be at least 1, not {every}")
        return self._frames(drawing, every)

    def _frames(self, drawing: Drawing, every: int) -> Iterator[Image.Image]:
        cell, grid = self.codes.model.config.cell, self.codes.model.config.grid
        frame = Image.new(drawing.image.mode, drawing.image.size, (_NOT_YET,) * len(drawing.image.getbands()))
        yield frame.copy()
        for place in range(grid**2):
            left, top = place % grid * cell, place // grid * cell
            box = (left, top, left + cell, top + cell)
            frame.paste(drawing.image.crop(box), box)
            if (place + 1) % every == 0 or place + 1 == grid**2:
                yield frame.copy()

    def _prime(self, prime: Picture | None, keep_rows: int) -> Int[Tensor, "P"] | None:
        if (prime is None) != (keep_rows == 0):
            raise QkvError("prime and keep_rows belong together: which picture to complete, and how much of it to keep")
        if prime is None:
            return None
        how, grid = self.codes.preprocessing, self.model.config.grid
        if not 1 <= keep_rows < grid:
            raise QkvError(f"keep_rows must be from 1 to {grid - 1}, for the grid has {grid} rows, not {keep_rows}")
        image = open_picture(prime, how.channels)
        if image.size != (how.size, how.size):
            raise QkvError(
                f"the prime has {image.width} x {image.height} pixels, the model draws {how.size} x {how.size}: "
                "resize it"
            )
        return self.codes.encode([image])[0, :keep_rows].flatten()

    def _gains(self, tokens: Int[Tensor, "T"], length: Int[Tensor, ""], codes: Int[Tensor, "S N"]) -> list[float]:
        """What the caption adds to the log-probability of each picture."""
        gains = []
        for part in codes.split(max(self.batch_size // 2, 1)):
            both = part.repeat(2, 1)
            lengths = torch.stack([length, torch.zeros_like(length)]).repeat_interleave(len(part))
            _, logits = self.run(tokens.expand(len(both), -1), lengths, both)
            targets = both.flatten().to(logits.device)
            nats = F.cross_entropy(logits.float().flatten(0, 1), targets, reduction="none")
            with_caption, without = nats.view_as(both).sum(dim=1).chunk(2)
            gains += (without - with_caption).tolist()
        return gains


Pipeline = Painter
