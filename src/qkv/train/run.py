"""A run: a folder with a recipe, its prepared data, checkpoints, metrics, and the model to use."""

from pathlib import Path

import torch
from rich.console import Console

from qkv.tasks.registry import TASKS
from qkv.train.distributed import World
from qkv.train.recipe import Recipe
from qkv.train.trainer import Trainer


def open_run(run: Path, recipe: Recipe, console: Console, world: World) -> Trainer:
    """Prepare the data, report on it, build the model, and go to the newest checkpoint if there is one.

    With several processes the first prepares the data and the others find it.

    Raises:
        QkvError: the data cannot be used.
    """
    torch.manual_seed(recipe.seed)  # the initial weights
    with world.leader_first():
        task = TASKS[recipe.system].create(recipe.task, run, recipe.seed, console)
    return Trainer(task, recipe.training, run, recipe.seed, console, world)
