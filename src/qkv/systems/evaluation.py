"""Which pictures a word of the command line means, for measuring models of pictures: files, or those of a recipe."""

import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qkv.errors import QkvError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qkv.data.captions.evaluation import EvaluationData
    from qkv.terminal.reporter import TerminalReporter

    Show = Callable[[str, int, int], None]


def open_data(data: Path, cache: Path, assignments: "Sequence[str]" = (), captioned: bool = False) -> "EvaluationData":
    """The pictures to measure a model on.

    Args:
        data: a folder or a file of pictures, all of which are taken; or a run or the .yaml of a recipe, whose
            validation pictures are taken, named by it or held out as its training does.
        cache: a folder for what is found out about them, there as long as they are read; made if need be.
        assignments: `section.field=value`, to replace fields of the recipe.
        captioned: whether they need captions.

    Raises:
        QkvError: they cannot be found, or have no captions; or fields are to be replaced where there is no recipe.
    """
    from qkv.data.captions import evaluation
    from qkv.systems.recipe import RECIPE
    from qkv.terminal.reporter import TerminalReporter

    if not data.exists():
        raise QkvError(f"{data} does not exist: check the path")
    reporter = TerminalReporter(silent=not sys.stderr.isatty())
    if (data / RECIPE).is_file():  # a run
        data = data / RECIPE
    if data.suffix.lower() in (".yaml", ".yml"):
        return _of_recipe(data, cache, assignments, captioned, reporter)
    if assignments:
        raise QkvError(f"--set replaces fields of a recipe, and {data} is none: leave it out, or give a .yaml file")
    opened = evaluation.open_captioned_pictures if captioned else evaluation.open_pictures
    return opened(data, cache, reporter)


def _of_recipe(
    path: Path, cache: Path, assignments: "Sequence[str]", captioned: bool, reporter: "TerminalReporter"
) -> "EvaluationData":
    from qkv.data.captions.data import CaptionDataConfig
    from qkv.data.captions.evaluation import split_captioned_pictures, split_pictures
    from qkv.data.pictures.data import ImageDataConfig
    from qkv.systems.recipe import Recipe

    recipe = Recipe.read(path, assignments)
    config = recipe.task.data
    if isinstance(config, CaptionDataConfig):
        return split_captioned_pictures(config, cache, recipe.seed, reporter)
    if isinstance(config, ImageDataConfig) and not captioned:
        return split_pictures(config, cache, recipe.seed, reporter)
    what = "captioned pictures" if captioned else "pictures"
    raise QkvError(f"{path} is a recipe of the system {recipe.system!r}, which has no {what}: give one that has")


@contextmanager
def temporary_cache() -> "Iterator[Path]":
    """An empty folder, removed at the end."""
    with TemporaryDirectory(prefix="qkv-") as folder:
        yield Path(folder)
