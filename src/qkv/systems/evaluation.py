"""Which pictures a word of the command line means, for measuring models of pictures: files, or those of a recipe."""

from collections.abc import Sequence
from pathlib import Path

from qkv.data.captions.data import CaptionDataConfig
from qkv.data.captions.evaluation import (
    EvaluationData,
    open_captioned_pictures,
    open_pictures,
    split_captioned_pictures,
    split_pictures,
)
from qkv.data.pictures.data import ImageDataConfig
from qkv.errors import QkvError
from qkv.model_directory import RECIPE
from qkv.reporter import Reporter
from qkv.systems.recipe import Recipe


def open_data(
    data: Path, cache: Path, reporter: Reporter, assignments: Sequence[str] = (), captioned: bool = False
) -> EvaluationData:
    """The pictures to measure a model on: all of a folder or file, or the validation pictures of a run or recipe.

    A recipe's are held out as its training does; `assignments` replace fields of it. `cache` is a folder for what is
    found out about them, there as long as they are read; made if need be.

    Raises:
        QkvError: they cannot be found, or have no captions; or fields are to be replaced where there is no recipe.
    """
    if not data.exists():
        raise QkvError(f"{data} does not exist: check the path")
    if (data / RECIPE).is_file():  # a run
        data = data / RECIPE
    if data.suffix.lower() in (".yaml", ".yml"):
        return _of_recipe(data, cache, reporter, assignments, captioned)
    if assignments:
        raise QkvError(f"--set replaces fields of a recipe, and {data} is none: leave it out, or give a .yaml file")
    opened = open_captioned_pictures if captioned else open_pictures
    return opened(data, cache, reporter)


def _of_recipe(
    path: Path, cache: Path, reporter: Reporter, assignments: Sequence[str], captioned: bool
) -> EvaluationData:
    recipe = Recipe.read(path, assignments)
    config = recipe.task.data
    if isinstance(config, CaptionDataConfig):
        return split_captioned_pictures(config, cache, recipe.seed, reporter)
    if isinstance(config, ImageDataConfig) and not captioned:
        return split_pictures(config, cache, recipe.seed, reporter)
    what = "captioned pictures" if captioned else "pictures"
    raise QkvError(f"{path} is a recipe of {recipe.system.called}, which is trained on no {what}: give one that is")
