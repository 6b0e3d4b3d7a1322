"""Files to examples to batches, and text to tokens."""

from qkv.data.codec import Codec, Direction, format_direction
from qkv.data.tokenizer import BEGIN, END, PAD, UNK, Tokenizer, TokenizerConfig

__all__ = ["BEGIN", "END", "PAD", "UNK", "Codec", "Direction", "Tokenizer", "TokenizerConfig", "format_direction"]
