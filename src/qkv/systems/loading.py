"""What `qkv.load` returns: a model with all it needs behind one verb. Knows nothing of HTTP or the terminal."""

from pathlib import Path
from typing import Any

from qkv.config import nearest
from qkv.errors import QkvError
from qkv.model_directory import find_model, read_config
from qkv.systems.classifier.pipeline import Classifier, Prediction
from qkv.systems.codes.pipeline import ImageCodes
from qkv.systems.judge import Judge
from qkv.systems.painter.pipeline import Drawing, Painter
from qkv.systems.scorer.pipeline import Scorer
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.result import Translation

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
