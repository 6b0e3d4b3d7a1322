"""A run: a folder with a recipe, its prepared data, checkpoints, metrics, and the model to use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from qkv.errors import QkvError
from qkv.files import copy_folder, is_utf8, refuse_damage
from qkv.model_directory import RECIPE, find_model
from qkv.reporter import Reporter
from qkv.systems.recipe import Recipe
from qkv.systems.registry import system_of
from qkv.systems.system import System
from qkv.train.distributed import World
from qkv.train.task import Setting
from qkv.train.trainer import Trainer

INITIAL = "initial"


def open_run(run: Path, recipe: Recipe, reporter: Reporter, world: World) -> Trainer:
    """Prepare the data, report on it, build the model, and go to the newest checkpoint if there is one.

    With several processes the first prepares the data and the others find it.
    """
    if not is_utf8(str(run)):
        raise QkvError(f"{run} is not UTF-8, which the name of a run must be: choose another --out, or rename it")
    torch.manual_seed(recipe.seed)  # the new weights
    with world.leader_first(), _explained(run / INITIAL, recipe.initial):
        begins = world.leads and not (run / RECIPE).exists()
        initial = _keep(recipe.initial, recipe.system, run, begins) if recipe.initial else None
        setting = Setting(folder=run, seed=recipe.seed, reporter=reporter, initial=initial)
        task = recipe.system.part("task").TASK.create(recipe.task, setting)
    return Trainer(task, recipe.training, run, recipe.seed, reporter, world)


def find_initial(name_or_folder: str, system: System) -> Path:
    """The model directory of a model to start from; refuses a model of another system."""
    folder = find_model(name_or_folder)
    if (found := system_of(folder)) != system:
        raise QkvError(f"initial: {folder} is {found.called}, not {system.called}; choose a model of the same system")
    return folder


def _keep(initial: str, system: System, run: Path, begins: bool) -> Path:
    """A copy of the initial model in the run, which then goes on even where the original has changed or gone.

    Made when the run begins, also over what an attempt that failed may have left.
    """
    kept = run / INITIAL
    if begins:
        copy_folder(find_initial(initial, system), kept)
    else:
        refuse_damage(kept)
    return kept


@contextmanager
def _explained(kept: Path, initial: str | None) -> Iterator[None]:
    """Have errors about the copy of the initial model, which nobody named, say what it is a copy of."""
    try:
        yield
    except QkvError as error:
        if initial is None or str(kept) not in str(error):
            raise
        raise QkvError(f"{error} ({kept} is the run's copy of {initial}, which it starts from)") from error
