"""From a model's logits to sequences: one loop, strategies and filters. Knows nothing of the model that it drives."""

from qkv.generation.filters import Filter, ForcedPrefix, MinLength, NoRepeatNgram
from qkv.generation.generate import Decode, DecoderState, generate, stream
from qkv.generation.guidance import Guided, GuidedState
from qkv.generation.hypotheses import Hypothesis, Live
from qkv.generation.strategies import Beam, Greedy, Sampling, Strategy

__all__ = [
    "Beam",
    "Decode",
    "DecoderState",
    "Filter",
    "ForcedPrefix",
    "Greedy",
    "Guided",
    "GuidedState",
    "Hypothesis",
    "Live",
    "MinLength",
    "NoRepeatNgram",
    "Sampling",
    "Strategy",
    "generate",
    "stream",
]
