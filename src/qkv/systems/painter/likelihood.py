"""How likely a painter finds captions, and pictures after them: what training minimises and validation tells."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from qkv.data.captions.data import CaptionBatch
from qkv.runtime.device import to_device
from qkv.systems.painter.pipeline import Painter

_PADDING = -100  # no token, and so no target


@dataclass(frozen=True)
class Likelihood:
    """Of captioned pictures.

    Attributes:
        text: nats a token of a caption.
        image: nats a code of a picture.
    """

    text: float
    image: float

    @property
    def of_codes(self) -> float:
        """The geometric mean of the probabilities of the right codes, from 0 to 1."""
        return math.exp(-self.image)


def likelihood(painter: Painter, batches: Iterable[CaptionBatch]) -> Likelihood:
    """How well captions tell what their pictures look like.

    Args:
        painter: what `qkv.load` returns.
        batches: the captioned pictures, as codes.
    """
    sums, amounts = [0.0, 0.0], [0.0, 0.0]
    for batch in batches:
        assert batch.codes is not None
        logits = painter.run(batch.captions, batch.lengths, batch.codes)
        nats_of_both = sums_of_nats(logits, to_device(batch, logits[0].device))
        for part, (nats, amount) in enumerate(zip(nats_of_both, tokens_of(batch))):
            sums[part] += nats.item()
            amounts[part] += amount
    return Likelihood(*(total / amount for total, amount in zip(sums, amounts)))


def tokens_of(batch: CaptionBatch) -> tuple[float, float]:
    """Tokens of captions, one at least, and codes of pictures."""
    assert batch.codes is not None
    return max(float(batch.lengths.sum()), 1.0), float(batch.codes.numel())


def sums_of_nats(
    logits: tuple[Float[Tensor, "B T V"], Float[Tensor, "B N K"]], batch: CaptionBatch
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropies of captions and of pictures, summed over their tokens, of what `Dalle` gives for a batch."""
    assert batch.codes is not None
    text, image = logits
    padding = torch.arange(batch.captions.shape[1], device=batch.lengths.device) >= batch.lengths[:, None]
    return _sum(text, batch.captions.masked_fill(padding, _PADDING)), _sum(image, batch.codes)


def _sum(logits: Float[Tensor, "B S V"], targets: Int[Tensor, "B S"]) -> Float[Tensor, ""]:
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=_PADDING, reduction="sum")
