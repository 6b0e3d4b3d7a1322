"""A picture after a caption: the one loop, driven so that it fills a grid of codes (Ramesh et al. 2021)."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.generation.generate import generate
from qkv.generation.guidance import Guided, GuidedState
from qkv.generation.strategies import Sampling, Strategy


@runtime_checkable
class PictureModel(Protocol):
    """What drawing needs to know of a model.

    Attributes:
        begin: the token that begins a picture. It is never written.
    """

    begin: int

    def start(self, captions: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], max_length: int) -> Any:
        """Read captions; one of no tokens stands for none at all."""
        ...

    def decode(self, tokens: Int[Tensor, "B T"], state: Any) -> Float[Tensor, "B K"]:
        """Append codes to each row's past; logits of the code after the last."""
        ...


@torch.inference_mode()
def draw_codes(
    model: PictureModel,
    captions: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    n_codes: int,
    strategy: Strategy,
    *,
    guidance: float = 1.0,
    prime: Int[Tensor, "P"] | None = None,
    on_code: Callable[[], object] | None = None,
) -> Int[Tensor, "B S N"]:
    """Pictures after captions, as codes.

    Args:
        model: reads captions and writes codes.
        captions: text tokens, padded on the right.
        lengths: real tokens of each caption.
        n_codes: N, codes of a picture.
        strategy: how codes are chosen; S pictures for each caption. Sampling draws for each caption by itself.
        guidance: how closely to follow the caption (`Guided`); 1 is as the model was trained.
        prime: the first codes of all pictures, fewer than N; they are given and not written.
        on_code: called when another code of every picture has been chosen.

    Raises:
        QkvError: the options contradict one another.
    """
    rows, given = len(captions), 0 if prime is None else len(prime)
    if guidance == 1:
        state, decode = model.start(captions, lengths, n_codes), model.decode
    else:
        both = torch.cat([captions, captions]), torch.cat([lengths, torch.zeros_like(lengths)])
        state = GuidedState(model.start(*both, n_codes), rows)
        decode = Guided(model.decode, guidance)

    def counted(tokens: Int[Tensor, "B T"], state: Any) -> Float[Tensor, "B K"]:
        logits = decode(tokens, state)
        if on_code is not None:
            on_code()
        return logits

    if isinstance(strategy, Sampling):
        strategy = strategy.for_inputs(row[:n] for row, n in zip(captions.tolist(), lengths.tolist(), strict=True))
    prompt = captions.new_full((rows, 1), model.begin)
    if prime is not None:
        prompt = torch.cat([prompt, prime.expand(rows, -1)], dim=1)
    found = generate(counted, state, prompt, strategy, end_id=model.begin, max_length=n_codes - given)
    by_sample = [[one.tokens for one in sorted(row, key=lambda one: one.sample)] for row in found]
    drawn = torch.tensor(by_sample, device=captions.device)
    return drawn if prime is None else torch.cat([prime.expand(*drawn.shape[:2], -1), drawn], dim=2)
