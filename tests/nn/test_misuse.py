"""What a caller could get wrong, and would not notice."""

import pytest
import torch

from qkv.models.translator import TranslatorConfig
from qkv.nn import KVCache, Transformer, TransformerConfig

CONFIG = TransformerConfig(d_model=8, n_heads=2, n_layers=2, d_ff=16, dropout=0.0)


@pytest.mark.parametrize("recording", [False, True])
def test_a_mask_beside_causality_holds_with_and_without_a_cache(recording: bool) -> None:
    """A padded prompt, prefilled: positions hidden by the mask have no influence, later ones neither."""
    torch.manual_seed(0)
    stack = Transformer(CONFIG).eval()
    x = torch.randn(1, 6, 8)
    mask = torch.tensor([False, False, True, True, True, True])[None, None, None]
    mask = mask | torch.eye(6, dtype=torch.bool)  # a hidden position still sees itself
    recorder = (lambda *_: None) if recording else None
    whole = stack(x, mask=mask, is_causal=True, recorder=recorder)
    changed = x.clone()
    changed[:, :2] += 1
    torch.testing.assert_close(stack(changed, mask=mask, is_causal=True, recorder=recorder)[:, 2:], whole[:, 2:])

    cache = KVCache(2, 6)
    first = stack(x[:, :3], mask=mask[..., :3, :3], is_causal=True, cache=cache, recorder=recorder)
    cache.advance(3)
    second = stack(x[:, 3:], mask=mask[..., 3:, :], is_causal=True, cache=cache, recorder=recorder)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_an_empty_collection_records_too() -> None:
    class Record(list[object]):
        """False until something is recorded."""

        def __call__(self, *entry: object) -> None:
            self.append(entry[:-1])

    record = Record()
    Transformer(CONFIG)(torch.randn(1, 3, 8), recorder=record)
    assert record == [(0, "self"), (1, "self")]


def test_a_context_without_cross_attention_and_the_reverse_are_refused() -> None:
    x = torch.randn(1, 3, 8)
    with pytest.raises(ValueError, match="reads a context exactly if"):
        Transformer(CONFIG)(x, x)
    with pytest.raises(ValueError, match="reads a context exactly if"):
        Transformer(CONFIG, cross=True)(x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_key": 0}, "d_key must be at least 1, not 0"),
        ({"d_value": -3}, "d_value must be at least 1, not -3"),
        ({"d_model": 15, "n_heads": 5}, "sinusoidal positions need an even d_model, not 15"),
        ({"positions": "learned", "max_length": 0}, "max_length must be at least 1, not 0"),
    ],
)
def test_sizes_that_cannot_work_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TranslatorConfig(**fields)
