"""Which reader a checkpoint of another library is for."""

from qkv.interop.checkpoint import Checkpoint
from qkv.interop.hugging_face import read_hugging_face
from qkv.interop.source import Source
from qkv.interop.timm_vit import read_timm


def read_vit(source: Source) -> Checkpoint | None:
    """A Vision Transformer of Hugging Face or timm as ours; None if the checkpoint is of neither."""
    if source.config.get("model_type") == "vit":
        return read_hugging_face(source)
    return read_timm(source) if "architecture" in source.config else None
