"""The tokenizer of captions that lies beside a model's weights."""

from pathlib import Path

from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.model_directory import CONFIG

TOKENIZER = "tokenizer.model"


def load_tokenizer(folder: Path, vocabulary: int) -> Tokenizer:
    """The tokenizer in a model folder; refuses one of another size than the model's vocabulary."""
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if len(tokenizer) != vocabulary:
        raise QkvError(
            f"{folder / CONFIG}: vocabulary is {vocabulary}, but {TOKENIZER} has {len(tokenizer)} tokens; "
            "restore the folder"
        )
    return tokenizer
