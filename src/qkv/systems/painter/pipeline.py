"""A caption to pictures: tokenizer, decoder and discrete VAE behind `draw`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from qkv.config import parse
from qkv.data.pictures.decode import Picture, open_picture
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.text.padding import read_captions
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.generation import Guided, Sampling
from qkv.model_directory import read_config, read_weights
from qkv.models.dalle import Dalle, DalleConfig
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import part_of, set_weights
from qkv.runtime import inference_device
from qkv.systems.codes.pipeline import ImageCodes
from qkv.systems.judge import Judge
from qkv.systems.painter.drawing import draw_codes

_ROWS = 64  # pictures drawn at once, which bounds the memory
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
    """A picture with what it was made from.

    Attributes:
        image: the picture.
        codes: its codes, row by row.
        score: what candidates were ordered by: with `rerank`, how much likelier the caption makes the codes, in nats;
            with a `scorer`, what that says of the picture. None if they were not ordered.
    """

    image: Image.Image
    codes: Int[Tensor, "N"]
    score: float | None = None


class Painter:
    """A trained DALL-E.

    Attributes:
        model: the decoder.
        dvae: codes to pictures and back.
        tokenizer: of captions.
        preprocessing: from a picture to what `dvae` reads.
        guidance: how closely it follows captions unless it is told otherwise.
    """

    def __init__(
        self, model: Dalle, dvae: DVAE, tokenizer: Tokenizer, preprocessing: Preprocessing, guidance: float = 1.0
    ) -> None:
        self.model, self.dvae = model.eval(), dvae.eval()
        self.tokenizer, self.preprocessing, self.guidance = tokenizer, preprocessing, guidance

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> "Painter":
        """Read a model folder.

        Args:
            folder: holds config.json, weights and a tokenizer.
            device: where to run; the GPU if there is one unless given.

        Raises:
            QkvError: something is missing, damaged or does not fit together.
        """
        config, where = read_config(folder), str(folder / "config.json")
        sections = [config.get(name) for name in ("model", "dvae", "preprocessing")]
        if not all(isinstance(section, dict) for section in sections):
            raise QkvError(f"{where} lacks model, dvae or preprocessing: it is no painter's")
        sizes = parse(DalleConfig, config["model"], f"{where}: model")
        codes = parse(DVAEConfig, config["dvae"], f"{where}: dvae")
        scales = parse(Preprocessing, config["preprocessing"], f"{where}: preprocessing")
        guidance = config.get("guidance", 1.0)
        if not isinstance(guidance, float | int) or not guidance >= 0:
            raise QkvError(f"{where}: guidance must be a number from 0 up, not {guidance!r}")
        tokenizer = Tokenizer.load(folder / "tokenizer.model")
        if config.get("vocabulary") != len(tokenizer) or codes.grid != sizes.grid or scales.size != codes.image_size:
            raise QkvError(f"{where}: vocabulary, grid or size of a picture do not fit together; restore the folder")
        model, dvae = Dalle(sizes, len(tokenizer), codes.codes), DVAE(codes)
        weights = read_weights(folder)
        set_weights(model, part_of(weights, "dalle"), str(folder))
        set_weights(dvae, part_of(weights, "dvae"), str(folder))
        where_to = inference_device(device)
        return cls(model.to(where_to), dvae.to(where_to), tokenizer, scales, float(guidance))

    @property
    def image_codes(self) -> ImageCodes:
        """The discrete VAE by itself: pictures to codes and back."""
        return ImageCodes(self.dvae, self.preprocessing)

    @overload
    def draw(
        self, captions: str, *, progress: Progress | None = None, **options: Unpack[DrawingOptions]
    ) -> list[Image.Image]: ...

    @overload
    def draw(
        self, captions: list[str], *, progress: Progress | None = None, **options: Unpack[DrawingOptions]
    ) -> list[list[Image.Image]]: ...

    def draw(
        self,
        captions: str | list[str],
        *,
        progress: Progress | None = None,
        **options: Unpack[DrawingOptions],
    ) -> list[Image.Image] | list[list[Image.Image]]:
        """Pictures for a caption, or for each of a list of them, which then gives a list of lists.

        The same seed gives the same picture, by itself and anywhere in a batch; more pictures leave the first as they
        were.

        Args:
            captions: what to draw.
            progress: called with the codes chosen so far and how many there will be, of all pictures.
            **options: as `drawings` takes them.

        Raises:
            QkvError: as `drawings`.
        """
        if isinstance(captions, str):
            return self.draw([captions], progress=progress, **options)[0]
        found = self.drawings(captions, progress=progress, **options)
        return [[drawing.image for drawing in row] for row in found]

    def drawings(
        self,
        captions: Sequence[str],
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
            captions: what to draw.
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
        if isinstance(captions, str):
            raise QkvError("drawings takes a list of captions: put a single one into a list")
        strategy = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, n=n)
        guidance = self.guidance if guidance is None else guidance
        _ = Guided(self.model.decode, guidance)  # refuses what is out of range
        if rerank and scorer is not None:
            raise QkvError("rerank and scorer are two ways to order the pictures: drop one of the two")
        read = read_captions(captions, self.tokenizer, self.model.config.text_length)
        tokens, lengths = (part.to(self.model.image_head.weight.device) for part in read)
        if scorer is not None:
            for caption in captions:  # what it cannot judge by is refused before anything is drawn
                scorer.judge(caption, [])
        given = self._prime(prime, keep_rows)
        if not captions:
            return []
        drawn = self._draw(tokens, lengths, strategy, guidance, given, progress)
        rows = []
        for number, codes in enumerate(drawn):
            images, scores = self.images(codes), [None] * n
            if rerank:
                scores = self._gains(tokens[number], lengths[number], codes)
            if scorer is not None:
                scores = scorer.judge(captions[number], images)
            row = list(map(Drawing, images, codes.cpu(), scores))
            rows.append(sorted(row, key=lambda drawing: -(drawing.score or 0.0)))
        return rows

    def images(self, codes: Int[Tensor, "B N"]) -> list[Image.Image]:
        """The pictures of codes, row by row."""
        grid = self.dvae.config.grid
        return self.image_codes.decode(codes.unflatten(1, (grid, grid)))

    def frames(self, drawing: Drawing, every: int = 1) -> Iterator[Image.Image]:
        """A picture as it forms, code by code; what is not drawn yet is grey.

        Args:
            drawing: what becomes of it.
            every: codes from one frame to the next, from 1 up. The last frame is the whole picture.
        """
        cell, grid = self.dvae.config.cell, self.dvae.config.grid
        frame = Image.new(drawing.image.mode, drawing.image.size, (_NOT_YET,) * len(drawing.image.getbands()))
        yield frame.copy()
        for place in range(grid**2):
            left, top = place % grid * cell, place // grid * cell
            box = (left, top, left + cell, top + cell)
            frame.paste(drawing.image.crop(box), box)
            if (place + 1) % every == 0 or place + 1 == grid**2:
                yield frame.copy()

    @torch.inference_mode()
    def _prime(self, prime: Picture | None, keep_rows: int) -> Int[Tensor, "P"] | None:
        if (prime is None) != (keep_rows == 0):
            raise QkvError("prime and keep_rows belong together: which picture to complete, and how much of it to keep")
        if prime is None:
            return None
        grid, size = self.dvae.config.grid, self.preprocessing.size
        if not 1 <= keep_rows < grid:
            raise QkvError(f"keep_rows must be from 1 to {grid - 1}, for the grid has {grid} rows, not {keep_rows}")
        image = open_picture(prime, self.preprocessing.channels)
        if image.size != (size, size):
            raise QkvError(
                f"the prime has {image.width} x {image.height} pixels, the model draws {size} x {size}: resize it"
            )
        return self.image_codes.encode([image])[0, :keep_rows].flatten().to(self.model.image_head.weight.device)

    def _draw(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, "B"],
        strategy: Sampling,
        guidance: float,
        prime: Int[Tensor, "P"] | None,
        progress: Progress | None,
    ) -> list[Int[Tensor, "S N"]]:
        """Codes of all pictures, a part of them at a time."""
        n_codes = self.model.config.image_length
        each = n_codes - (0 if prime is None else len(prime))
        done, total = 0, len(tokens) * strategy.n * each
        captions_at_once = max(_ROWS // strategy.n, 1)
        drawn: list[Int[Tensor, "S N"]] = []
        for part in torch.arange(len(tokens)).split(captions_at_once):
            samples = []
            for first in range(0, strategy.n, _ROWS):
                here = replace(strategy, first=first, n=min(_ROWS, strategy.n - first))

                def advance(codes: int = len(part) * here.n) -> None:
                    nonlocal done
                    done += codes
                    if progress is not None:
                        progress(done, total)

                rows = tokens[part], lengths[part], n_codes, here
                samples.append(draw_codes(self.model, *rows, guidance=guidance, prime=prime, on_code=advance))
            drawn += torch.cat(samples, dim=1)
        return drawn

    @torch.inference_mode()
    def _gains(self, tokens: Int[Tensor, "T"], length: Int[Tensor, ""], codes: Int[Tensor, "S N"]) -> list[float]:
        """What the caption adds to the log-probability of each picture."""
        gains = []
        for part in codes.split(_ROWS // 2):
            captions = tokens.expand(2 * len(part), -1)
            lengths = torch.cat([length.expand(len(part)), torch.zeros_like(length).expand(len(part))])
            _, logits = self.model(captions, lengths, part.repeat(2, 1))
            with_caption, without = _log_probability(logits, part.repeat(2, 1)).chunk(2)
            gains += (with_caption - without).tolist()
        return gains


def _log_probability(logits: Float[Tensor, "B N K"], codes: Int[Tensor, "B N"]) -> Float[Tensor, "B"]:
    nats = F.cross_entropy(logits.float().flatten(0, 1), codes.flatten(), reduction="none")
    return -nats.view_as(codes).sum(dim=1)
