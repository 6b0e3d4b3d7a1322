"""`qkv train`: from a recipe, from bare data, or on from where a run stopped."""

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.systems.recipe import Recipe
    from qkv.terminal.reporter import TerminalReporter
    from qkv.train.distributed import World

_PICTURES = {
    "vit": "folder of class folders, table or IDX file",
    "dvae": "folder of pictures, table, IDX file or shard",
    "dalle": "folder of pictures with captions, table or shard",
    "clip": "folder of pictures with captions, table or shard",
}
"""What each system that is trained on pictures takes without a recipe."""


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[RECIPE.yaml | RUN | DATA]",
            help="A recipe, a run to go on with, or with --system pictures: for vit a folder of class folders, for "
            "dvae any folder, for dalle and clip one with a .txt of captions beside each picture.",
        ),
    ] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Without a recipe: a TSV or JSONL file of pairs, or two line-aligned text files."),
    ] = None,
    system: Annotated[
        str,
        typer.Option(
            help="Without a recipe: translator; for pictures vit, which classifies, dvae and then dalle, which draw, "
            "or clip, which scores captions."
        ),
    ] = "",
    codes: Annotated[
        str, typer.Option(metavar="MODEL", help="With --system dalle: the model of the system dvae to draw with.")
    ] = "",
    from_: Annotated[
        str,
        typer.Option("--from", help="With --data: language of the first column or file. Else as --initial."),
    ] = "",
    to: Annotated[str, typer.Option(help="Language of the second column or file.")] = "",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME if not given.")] = None,
    initial: Annotated[str, typer.Option(metavar="MODEL", help="Start from this model's weights: fine-tuning.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field: model.d_model=256.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share the work: one a core on a CPU, or one a GPU.")
    ] = 1,
) -> None:
    """Train a model, with a recipe or straight from data; Ctrl-C saves, and `qkv train RUN` goes on."""
    from qkv.train.distributed import join, launch

    request = _Request(what, data or [], system, codes, from_, to, out, initial, set_ or [])
    if processes > 1:
        raise typer.Exit(launch(processes, ["qkv", *_without(sys.argv[1:], "--processes")]))
    with join() as world:
        _train(world, request)


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, as `train` names it."""

    what: str
    data: list[Path] = field(default_factory=list)
    system: str = ""
    codes: str = ""
    from_: str = ""
    to: str = ""
    out: Path | None = None
    initial: str = ""
    assignments: list[str] = field(default_factory=list)


def _train(world: "World", request: _Request) -> None:
    from qkv.runs.run import open_run
    from qkv.systems.recipe import RECIPE, Recipe
    from qkv.terminal.reporter import TerminalReporter

    reporter = TerminalReporter(silent=not world.leads)
    path = Path(request.what)
    if request.what and (path / RECIPE).exists():
        if request != _Request(request.what):
            raise QkvError(f"{path} goes on as it began: all other options are for new runs (or edit {path / RECIPE})")
        run, recipe = path, Recipe.read(path / RECIPE)
    else:
        recipe, name = _new_recipe(request, reporter)
        run = request.out or Path("runs") / name
        if (run / RECIPE).exists():
            raise QkvError(f"{run} is a run already: go on with `qkv train {run}`, or choose another --out")
    trainer = open_run(run, recipe, reporter, world)
    if world.leads:
        recipe.write(run / RECIPE)
    outcome = trainer.train()
    if outcome.reason == "interrupted":
        reporter.say(f"saved at step {outcome.step}; go on with: qkv train {run}")
        raise typer.Exit(128 + (outcome.signal or signal.SIGINT))
    score = "" if outcome.score is None else f", best score {outcome.score:.2f}"
    reporter.say(f"{outcome.reason} at step {outcome.step}{score}; the model: {run / 'model'}")


def _new_recipe(request: _Request, reporter: "TerminalReporter") -> "tuple[Recipe, str]":
    """The recipe of a new run, given or suggested, and a name for the run."""
    from qkv.cli.suggestion import recipe_for_pairs
    from qkv.systems.recipe import Recipe

    languages = not request.what and request.system in ("", "translator")
    if request.from_ and request.initial and not languages:
        raise QkvError("--from and --initial name the same here, a model to start from: give one of them")
    initial = request.initial or ("" if languages else request.from_)
    assignments = [*([f"initial={initial}"] if initial else []), *request.assignments]
    if request.codes and request.system != "dalle":
        raise QkvError("--codes is for --system dalle; a recipe names them itself, and --set codes=MODEL replaces them")
    if request.system in _PICTURES:
        return _recipe_of_pictures(request, initial, assignments, reporter)
    if request.system not in ("", "translator"):
        raise QkvError(f"--system {request.system}: choose from translator, {', '.join(_PICTURES)}")
    if not request.what:
        suggestion = recipe_for_pairs(request.data, request.from_, request.to, initial, reporter)
        return Recipe.suggested(suggestion, assignments), _name(request.data[0])
    if request.data or request.system:
        raise QkvError("give a recipe or --data, not both" if request.data else "a recipe names its system itself")
    if Path(request.what).is_dir():
        raise QkvError(
            f"{request.what} is no run: it has no recipe.yaml; to train a classifier on a folder of class folders, "
            f"add --system vit; to train codes and then a painter, --system dvae and then --system dalle; to train a "
            f"scorer of captions, --system clip"
        )
    if request.to:
        raise QkvError("--to is for --data: a recipe names its languages itself")
    return Recipe.read(Path(request.what), assignments), Path(request.what).stem


def _recipe_of_pictures(
    request: _Request, initial: str, assignments: list[str], reporter: "TerminalReporter"
) -> "tuple[Recipe, str]":
    """The suggested recipe of a run on pictures, and a name for the run; says what comes after it."""
    from qkv.cli.suggestion import recipe_for_painter, recipe_for_pictures, recipe_for_scorer
    from qkv.systems.recipe import Recipe

    system, found = request.system, [*([Path(request.what)] if request.what else []), *request.data]
    if len(found) != 1 or request.to:
        raise QkvError(f"--system {system} takes one {_PICTURES[system]}, and no --to")
    if system == "dalle":
        suggestion = recipe_for_painter(found[0], request.codes, initial, assignments, reporter)
    elif system == "clip":
        suggestion = recipe_for_scorer(found[0], initial, assignments, reporter)
    else:
        suggestion = recipe_for_pictures(system, found[0], initial, assignments, reporter)
    if initial:
        suggestion["initial"] = initial
    name = _name(found[0]) + {"dvae": "-codes", "clip": "-scorer"}.get(system, "")
    run = request.out or Path("runs") / name
    follows = {
        "dvae": f"once each picture has captions: qkv train {found[0]} --system dalle --codes {run}",
        "dalle": f'when this is done: qkv draw {run} "A CAPTION"',
        "clip": f'when this is done: qkv draw PAINTER "A CAPTION" -n 16 --scorer {run}',
    }
    if system in follows:
        reporter.say(follows[system])
    return Recipe.suggested(suggestion, assignments), name


def _name(data: Path) -> str:
    return data.resolve().name.split(".")[0]


def _without(arguments: list[str], option: str) -> list[str]:
    """Command-line arguments without an option that takes a value."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != option and not argument.startswith(f"{option}="):
            kept.append(argument)
        skip = argument == option
    return kept
