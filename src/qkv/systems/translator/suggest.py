"""Sensible sizes for an amount of text, for training without a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkv.systems.suggestion import Suggestion

STEP_TOKENS = 4096
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class _Size:
    """What suits texts of up to `pairs` sentence pairs: less text, fewer weights, more dropout, more epochs."""

    pairs: float
    vocabulary: int
    d_model: int
    d_ff: int
    n_layers: int
    dropout: float
    epochs: int


_SIZES = (
    _Size(pairs=15_000, vocabulary=3_000, d_model=128, d_ff=256, n_layers=3, dropout=0.3, epochs=60),
    _Size(pairs=150_000, vocabulary=8_000, d_model=192, d_ff=768, n_layers=4, dropout=0.2, epochs=40),
    _Size(pairs=1_500_000, vocabulary=16_000, d_model=256, d_ff=1024, n_layers=6, dropout=0.1, epochs=20),
    _Size(pairs=float("inf"), vocabulary=32_000, d_model=512, d_ff=2048, n_layers=6, dropout=0.1, epochs=10),
)


def suggest(
    pairs: int, characters: int, on_accelerator: bool = False, initial: Mapping[str, Any] | None = None
) -> Suggestion:
    """Sizes for a translator.

    Args:
        pairs: sentence pairs to train on.
        characters: on the longer side of the corpus.
        on_accelerator: whether a GPU trains it. A CPU takes the tokens of a step in smaller batches, which suit its
            caches, and which several processes can share.
        initial: config.json of the translator to start from, whose sizes are kept. It needs fewer epochs and smaller
            steps than new weights.
    """
    size = next(size for size in _SIZES if pairs <= size.pairs)
    epochs = size.epochs if initial is None else size.epochs // 4
    steps_per_epoch = max(characters / _CHARACTERS_PER_TOKEN / STEP_TOKENS, 1)
    steps = int(min(max(steps_per_epoch * epochs, 600), 200_000))
    parts = 1 if on_accelerator else 4
    warmup = min(steps // 8, 4000)
    validate_every = max(steps // 20, 50)
    model = {"d_model": size.d_model, "d_ff": size.d_ff, "n_layers": size.n_layers, "n_heads": 4}
    vocabulary, peak = size.vocabulary, 2e-3 if size.d_model <= 256 else 7e-4
    if initial is not None:
        model, vocabulary, peak = initial["model"], initial["vocabulary"], 5e-4
    reason = (
        f"{pairs:,} pairs: {model['n_layers']}+{model['n_layers']} layers of width {model['d_model']}, a vocabulary of "
        f"up to {vocabulary:,}, dropout {size.dropout}, up to {steps:,} steps of {STEP_TOKENS:,} tokens"
    )
    return Suggestion(
        {
            "tokenizer": {"vocabulary": vocabulary, "sampling": 0.1},
            "data": {"batch_tokens": STEP_TOKENS // parts},
            "model": {**model, "dropout": size.dropout},
            "training": {
                "max_steps": steps,
                "accumulate": parts,
                "warmup": warmup,
                "learning_rate": peak,
                "schedule": "cosine",
                "validate_every": validate_every,
                "patience": 6,
            },
        },
        reason,
    )
