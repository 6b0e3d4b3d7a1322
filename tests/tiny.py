"""A tiny translator with random weights, for tests that need a model directory but no sense in its output."""

from pathlib import Path

import torch

from qkv.data.parallel.vocabulary import Codec
from qkv.data.text.tokenizer import END, Tokenizer, TokenizerConfig
from qkv.model_directory import save_model
from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.models.weights import get_weights
from qkv.systems.translator.saved import Saved

LANGUAGES = ("en", "de", "fr")
_SENTENCES = {
    "en": "two dogs are playing in the snow while a man with his hat reads under that tree",
    "de": "zwei Hunde spielen im Schnee während ein Mann mit seinem Hut unter jenem Baum liest",
    "fr": "deux chiens jouent dans la neige pendant qu'un homme avec son chapeau lit sous cet arbre",
}


def lines(language: str, n: int = 100) -> list[str]:
    """Sentences without sense; the same ones at each call."""
    words = _SENTENCES[language].split()
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
    config = TranslatorConfig(d_model=16, n_heads=2, n_layers=1, d_ff=32, tie_embeddings=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = TranslatorModel(config, codec.vocabulary)
        # Far from even, so that outputs are words, differ from text to text and end soon.
        with torch.no_grad():
            model.output.weight *= 3
            model.output_bias[[piece.startswith("<") for piece in tokenizer.pieces(range(len(tokenizer)))]] = -9.0
            model.output_bias[END] = 9.0
    files = {**codec.files(), "README.md": b"# Tiny\n\n- Licence: none needed\n"}
    save_model(folder, Saved.of(config, codec, max_source_tokens), get_weights(model), files)
    return folder
