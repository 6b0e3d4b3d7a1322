"""A picture after a caption: the one loop, driven so that it fills a grid of codes (Ramesh et al. 2021)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from qkv.generation.generate import generate
from qkv.generation.guidance import Guided, GuidedState
from qkv.generation.strategies import Sampling, Strategy
from qkv.models.dalle import Dalle
from qkv.runtime.engine import Engine


@torch.inference_mode()
def draw_codes(
    engine: Engine[Dalle],
    captions: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    strategy: Strategy,
    *,
    guidance: float = 1.0,
    prime: Int[Tensor, "P"] | None = None,
    on_code: Callable[[], object] | None = None,
) -> Int[Tensor, "B S N"]:
    """Pictures after captions, as codes; S for each caption, as the strategy says.

    Captions are tokens, padded on the right, of which `lengths` are real; sampling draws for each by itself. With a
    `guidance` (`Guided`) of 1 they are followed as the model was trained. The `prime` is the first codes of all
    pictures, fewer than N, given and not written. `on_code` is called when another code of every picture is chosen.
    """
    begin, n_codes = engine.model.begin, engine.model.config.image_length
    captions, lengths = captions.to(engine.device), lengths.to(engine.device)
    rows = len(captions)
    if guidance == 1:
        state, decode = engine.start(captions, lengths, n_codes), engine.decode
    else:
        both = torch.cat([captions, captions]), torch.cat([lengths, torch.zeros_like(lengths)])
        state = GuidedState(engine.start(*both, n_codes), rows)
        decode = Guided(engine.decode, guidance)

    def counted(tokens: Int[Tensor, "B T"], state: Any) -> Float[Tensor, "B K"]:
        logits = decode(tokens, state)
        if on_code is not None:
            on_code()
        return logits

    if isinstance(strategy, Sampling):
        strategy = strategy.for_inputs(row[:n] for row, n in zip(captions.tolist(), lengths.tolist(), strict=True))
    given = captions.new_empty(0) if prime is None else prime.to(engine.device)
    prompt = torch.cat([captions.new_full((rows, 1), begin), given.expand(rows, -1)], dim=1)
    found = generate(counted, state, prompt, strategy, end_id=begin, max_length=n_codes - len(given))
    by_sample = [[one.tokens for one in sorted(row, key=lambda one: one.sample)] for row in found]
    drawn = torch.tensor(by_sample, device=engine.device)
    return torch.cat([given.expand(*drawn.shape[:2], -1), drawn], dim=2)
