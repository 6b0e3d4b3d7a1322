"""Files to examples to batches, and text to tokens."""

from qkv.data.batches import BatchSampler, TranslationBatch, collate, cut_by_length
from qkv.data.codec import Codec, Direction, format_direction
from qkv.data.config import CorpusConfig, DataConfig
from qkv.data.examples import Examples
from qkv.data.parallel import ParallelData, measure
from qkv.data.permutation import derive_seed
from qkv.data.report import Report, report
from qkv.data.text import ParallelText
from qkv.data.tokenizer import BEGIN, END, PAD, UNK, Tokenizer, TokenizerConfig

__all__ = [
    "BEGIN",
    "END",
    "PAD",
    "UNK",
    "BatchSampler",
    "Codec",
    "CorpusConfig",
    "DataConfig",
    "Direction",
    "Examples",
    "ParallelData",
    "ParallelText",
    "Report",
    "Tokenizer",
    "TokenizerConfig",
    "TranslationBatch",
    "collate",
    "cut_by_length",
    "derive_seed",
    "format_direction",
    "measure",
    "report",
]
