"""The kinds of model that translate. What they offer is alike: `forward`, `start`, `decode` and `config.longest`."""

from qkv.models.recurrent import RecurrentConfig, RecurrentModel
from qkv.models.translator import TranslatorConfig, TranslatorModel

ModelConfig = TranslatorConfig | RecurrentConfig
"""The `model` section of a recipe and of config.json; its `kind` says which, the Transformer where there is none."""

Model = TranslatorModel | RecurrentModel


def make_model(config: ModelConfig, vocabulary: int, target_vocabulary: int | None = None) -> Model:
    """A model with new weights; `target_vocabulary` is given where the languages do not share one vocabulary."""
    if isinstance(config, TranslatorConfig):
        return TranslatorModel(config, vocabulary, target_vocabulary)
    return RecurrentModel(config, vocabulary, target_vocabulary)


def describe(config: ModelConfig) -> str:
    """What a model is called, with its paper."""
    if isinstance(config, TranslatorConfig):
        return "A Transformer (Vaswani et al. 2017)"
    name = {"lstm": "An LSTM", "gru": "A GRU"}[config.kind]
    how = "with attention (Bahdanau et al. 2015)" if config.attention else "without attention (Sutskever et al. 2014)"
    return f"{name} {how}"
