"""A tiny translator with random weights, for tests that need a model directory but no sense in its output."""

from dataclasses import asdict
from pathlib import Path

import torch

from qkv.data.codec import Codec
from qkv.data.tokenizer import Tokenizer, TokenizerConfig
from qkv.model_directory import save_model
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.weights import get_weights

LANGUAGES = ("en", "de", "fr")
_WORDS = {
    "en": "two dogs are playing in the snow while a man with his hat reads under that tree".split(),
    "de": "zwei Hunde spielen im Schnee während ein Mann mit seinem Hut unter jenem Baum liest".split(),
    "fr": "deux chiens jouent dans la neige pendant qu'un homme avec son chapeau lit sous cet arbre".split(),
}


def lines(language: str, n: int = 100) -> list[str]:
    """Sentences without sense; the same ones at each call."""
    words = _WORDS[language]
    return [" ".join(words[(i * (k + 3) + k) % len(words)] for k in range(4 + i % 7)) + "." for i in range(n)]


def tiny_translator(folder: Path, max_source_tokens: int = 24) -> Path:
    """Write a translator of random weights for all directions between `LANGUAGES`; the same one at each call.

    Args:
        folder: the model directory to write.
        max_source_tokens: longer sources, tag and end token included, are split.
    """
    text = [line for language in LANGUAGES for line in lines(language)]
    tokenizer = Tokenizer.train(text, TokenizerConfig(vocabulary=400), LANGUAGES)
    directions = tuple((from_, to) for from_ in LANGUAGES for to in LANGUAGES if from_ != to)
    codec = Codec(tokenizer, tokenizer, directions, target_tags=True)
    config = TranslatorConfig(d_model=16, n_heads=2, n_layers=1, d_ff=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = TranslatorModel(config, codec.vocabulary)
        # Random weights never end a sentence by themselves; a nudge makes some of them do.
        torch.nn.init.normal_(model.output_bias)
        with torch.no_grad():
            model.output_bias[3] += 1.5
    fields = {
        "model": asdict(config),
        "vocabulary": codec.vocabulary,
        "target_vocabulary": codec.target_vocabulary,
        "max_source_tokens": max_source_tokens,
        **codec.config(),
    }
    files = {**codec.files(), "README.md": b"# Tiny\n\n- Licence: none needed\n"}
    save_model(folder, system="translator", config=fields, weights=get_weights(model), files=files)
    return folder
