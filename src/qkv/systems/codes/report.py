"""How well pictures come back from their codes, and how much of the codebook they use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.data.pictures.listing import EvenSample, PictureBatch, PictureList
from qkv.errors import QkvError
from qkv.metrics.codes import codebook_use, perplexity
from qkv.metrics.pictures import psnr, ssim
from qkv.models.dvae import DVAEOutput
from qkv.systems.codes.pipeline import Codes

_SHOWN = 32


@dataclass(frozen=True)
class CodebookReport:
    """Which of the codes are used.

    Attributes:
        codes: how many there are.
        use: share of them that occurs at all, from 0 to 1.
        perplexity: how many it would be if all were used alike.
    """

    codes: int
    use: float
    perplexity: float

    @classmethod
    def of(cls, counts: Int[Tensor, "K"]) -> "CodebookReport":
        """From how often each code occurs; at least one does."""
        return cls(len(counts), codebook_use(counts.double()), perplexity(counts.double()))


@dataclass(frozen=True)
class CodesReport:
    """Scores of a discrete VAE on pictures, with some of them, evenly chosen, before and after; from 0 to 1.

    Attributes:
        pictures: that were read.
        unreadable: one line for each other picture.
        psnr: peak signal-to-noise ratio of the reconstructions in decibels, the mean over pictures.
        ssim: structural similarity to the originals, at most 1, the mean over pictures.
        codebook: of the codes of these pictures.
        originals: some of the pictures, evenly chosen, from 0 to 1.
        reconstructions: of these.
    """

    pictures: int
    unreadable: tuple[str, ...]
    psnr: float
    ssim: float
    codebook: CodebookReport
    originals: Float[Tensor, "N C H W"]
    reconstructions: Float[Tensor, "N C H W"]

    def to_json(self) -> dict[str, Any]:
        """The fields but for the pictures themselves, as plain lists and numbers."""
        fields = {name: getattr(self, name) for name in ("pictures", "unreadable", "psnr", "ssim")}
        return {**fields, "codebook": vars(self.codebook)}


class CodesMeter:
    """Collects a `CodesReport`, batch by batch; `total` pictures will come, readable or not."""

    def __init__(self, codes: Codes, total: int) -> None:
        self._codes = codes
        self._sample = EvenSample(total, _SHOWN)
        self._counts = torch.zeros(codes.model.config.codes, dtype=torch.int64)
        self._sums = torch.zeros(2, dtype=torch.float64)
        self._pictures = 0
        self._shown: list[Tensor] = []

    def add(
        self, numbers: Sequence[int], images: Float[Tensor, "B C H W"]
    ) -> tuple[DVAEOutput, Float[Tensor, "B C H W"]]:
        """Count in the pictures of these numbers: what the model makes of them, and reconstructions, from 0 to 1."""
        output = self._codes.run(images)
        decoded = self._codes.model.images(output.mean)
        self._counts += output.codes.flatten().bincount(minlength=len(self._counts))
        self._sums += torch.stack([psnr(images, decoded).sum(), ssim(images, decoded).sum()])
        self._pictures += len(numbers)
        rows = self._sample.rows(numbers)
        self._shown.append(torch.stack([images[rows], decoded[rows]]))
        return output, decoded

    def report(self, unreadable: Sequence[str] = ()) -> CodesReport:
        """What has been counted, with a line for each picture that could not be; a QkvError if that is all of them."""
        if not self._pictures:
            raise QkvError(f"no picture can be read{f'; the first: {unreadable[0]}' if unreadable else ''}")
        mean_psnr, mean_ssim = (self._sums / self._pictures).tolist()
        codebook, shown = CodebookReport.of(self._counts), torch.cat(self._shown, dim=1)
        return CodesReport(self._pictures, tuple(unreadable), mean_psnr, mean_ssim, codebook, shown[0], shown[1])


def report(
    codes: Codes,
    pictures: PictureList,
    progress: Callable[[int, int], object] | None = None,
    look: Callable[[PictureBatch, Float[Tensor, "B C H W"]], None] | None = None,
) -> CodesReport:
    """Reconstruct all pictures and compare; a QkvError if none can be read.

    After each batch `progress` is called with the pictures done, and how many there are; `look` with the batch, if some
    of it can be read, and with the reconstructions of these, from 0 to 1.
    """
    meter, unreadable, done = CodesMeter(codes, len(pictures)), list[str](), 0
    for batch in pictures.batches(codes.preprocessing, codes.batch_size):
        if batch.numbers:
            _, decoded = meter.add(batch.numbers, codes.preprocessing.normalise(batch.pixels))
            if look is not None:
                look(batch, decoded)
        unreadable += batch.unreadable
        done += len(batch.numbers) + len(batch.unreadable)
        if progress is not None:
            progress(done, len(pictures))
    return meter.report(unreadable)
