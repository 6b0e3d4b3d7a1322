"""What `qkv.load` returns: a model with all it needs behind one verb. Knows nothing of HTTP or the terminal."""

from pathlib import Path
from typing import Any

from qkv.config import nearest
from qkv.errors import QkvError
from qkv.model_directory import find_model, read_config
from qkv.pipelines.classifier import Classifier, Prediction
from qkv.pipelines.image_codes import ImageCodes
from qkv.pipelines.judge import Judge
from qkv.pipelines.painter import Drawing, Painter
from qkv.pipelines.scorer import Scorer
from qkv.pipelines.translation import Translation
from qkv.pipelines.translator import Translator

__all__ = [
    "Classifier",
    "Drawing",
    "ImageCodes",
    "Judge",
    "Painter",
    "Prediction",
    "Scorer",
    "Translation",
    "Translator",
    "load",
]

_SYSTEMS = {"translator": Translator, "vit": Classifier, "dalle": Painter, "clip": Scorer, "dvae": ImageCodes}


def load(name_or_folder: str | Path, device: str | None = None) -> Any:
    """Load a trained model: a `Translator`, `Classifier`, `Painter`, `Scorer` or `ImageCodes`, as its folder says.

    Args:
        name_or_folder: a bundled model's name, a model folder, a run folder, or a hub name ("owner/name").
        device: where it runs, as PyTorch names it; the GPU if there is one unless given.

    Raises:
        QkvError: there is no such model, or its files are damaged.
    """
    folder = find_model(name_or_folder)
    system = read_config(folder)["system"]
    if system not in _SYSTEMS:
        raise QkvError(f"{folder} is of the system {system!r}, which this version lacks; {nearest(system, _SYSTEMS)}")
    return _SYSTEMS[system].load(folder, device)
