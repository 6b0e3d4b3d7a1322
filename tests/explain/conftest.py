"""A tiny random translator with a real tokenizer."""

import pytest
import torch

from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.models.translator import TranslatorConfig, TranslatorModel

LINES = ["Two dogs play in the snow.", "Zwei Hunde spielen im Schnee.", "A man doesn't ride.", "Ein Mann fährt."] * 5


@pytest.fixture(scope="session")
def codec() -> Codec:
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(vocabulary=300), ["en", "de"])
    return Codec(tokenizer, tokenizer, (("en", "de"), ("de", "en")), target_tags=True)


@pytest.fixture(scope="session")
def model(codec: Codec) -> TranslatorModel:
    torch.manual_seed(0)
    config = TranslatorConfig(d_model=32, n_heads=4, n_layers=2, d_ff=32, norm="post")
    return TranslatorModel(config, codec.vocabulary).eval()
