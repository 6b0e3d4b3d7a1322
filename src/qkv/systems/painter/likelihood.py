"""How likely a painter finds captions, and pictures after them: what training minimises and validation tells."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from qkv.data.captions.data import CaptionBatch
from qkv.runtime.device import to_device
from qkv.systems.painter.pipeline import Painter

_PADDING = -100  # no token, and so no target


def likelihood(painter: Painter, batches: Iterable[CaptionBatch]) -> tuple[float, float]:
    """Nats a token of captions, and nats a code of the pictures after them."""
    totals = torch.zeros(2, 2, dtype=torch.float64)
    for batch in batches:
        assert batch.codes is not None
        logits = painter.run(batch.captions, batch.lengths, batch.codes)
        nats = torch.stack(sums_of_nats(logits, to_device(batch, logits[0].device)))
        totals += torch.stack([nats.cpu(), torch.tensor(tokens_of(batch))])
    text, image = (totals[0] / totals[1]).tolist()
    return text, image


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
