"""`qkv train`: from a recipe, from bare data, or on from where a run stopped."""

import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from qkv.errors import QkvError
from qkv.files import regular
from qkv.model_directory import RECIPE, read_saved
from qkv.runs.lock import only_trainer
from qkv.runs.run import find_initial, open_run
from qkv.systems.recipe import Recipe
from qkv.systems.registry import find_system, recognised, systems
from qkv.systems.system import Asked, System
from qkv.terminal.reporter import TerminalReporter
from qkv.train.distributed import World, join
from qkv.train.launch import launch

_SYSTEM = "--system"


@dataclass(frozen=True)
class _Request:
    """What the command line asks for, as `train` names it."""

    what: str = ""
    data: list[Path] = field(default_factory=list)
    system: str = ""
    out: Path | None = None
    initial: str = ""
    assignments: list[str] = field(default_factory=list)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> list[Path]:
        """Files and folders to train on, if no recipe says what to train on."""
        return [*([Path(self.what)] if self.what else []), *self.data]


def train(
    what: Annotated[
        str, typer.Argument(metavar="[RECIPE.yaml | RUN | DATA]", help="A recipe, a run to go on with, or data.")
    ] = "",
    data: Annotated[
        list[Path] | None, typer.Option(help="Without a recipe: a file or folder of data, or two line-aligned texts.")
    ] = None,
    system: Annotated[
        str, typer.Option(_SYSTEM, help="Without a recipe: what to train; found by a look unless given.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME if not given.")] = None,
    initial: Annotated[str, typer.Option(metavar="MODEL", help="Start from this model's weights: fine-tuning.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field: model.d_model=256.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share the work: one a core on a CPU, or one a GPU.")
    ] = 1,
    **options: str,
) -> None:
    """Train a model, with a recipe or straight from data; Ctrl-C saves, and `qkv train RUN` goes on."""
    given = {name.removesuffix("_"): value for name, value in options.items() if value}
    request = _Request(what, data or [], system, out, initial, set_ or [], given)
    if processes > 1:
        raise typer.Exit(launch(processes, ["qkv", *_without(sys.argv[1:], "--processes")]))
    with join() as world, TerminalReporter(silent=not world.leads) as reporter:
        _train(world, request, reporter)


def make(words: Sequence[str]) -> Callable[..., None]:
    """`train` with the options of the system that the words name, or of all if they name none."""
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word == _SYSTEM]
    named += [word.removeprefix(f"{_SYSTEM}=") for word in words if word.startswith(f"{_SYSTEM}=")]
    meant = [system for system in systems() if system.name in named or system.alias in named] or systems()
    *common, _ = inspect.signature(train).parameters.values()
    added = [
        inspect.Parameter(
            f"{option.name}_",  # `from` is a word of Python's
            inspect.Parameter.KEYWORD_ONLY,
            default="",
            annotation=Annotated[str, typer.Option(option.flag, metavar=option.metavar, help=option.help)],
        )
        for system in meant
        for option in system.options
    ]

    def command(**arguments: Any) -> None:
        train(**arguments)

    command.__doc__ = train.__doc__
    command.__signature__ = inspect.Signature([*common, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*common, *added)}
    return command


def _train(world: World, request: _Request, reporter: TerminalReporter) -> None:
    path = Path(request.what)
    if request.what and (path / RECIPE).exists():
        if request != _Request(request.what):
            raise QkvError(f"{path} goes on as it began: all other options are for new runs (or edit {path / RECIPE})")
        run, recipe = path, Recipe.read(path / RECIPE)
    else:
        run, recipe = _new_run(request, reporter)
    with only_trainer(run) if world.leads else nullcontext():
        if run != path:
            if (run / RECIPE).exists():
                raise QkvError(f"{run} is a run already: go on with `qkv train {run}`, or choose another --out")
            _check_folder(run, request)
        trainer = open_run(run, recipe, reporter, world)
        if world.leads:
            recipe.write(run / RECIPE)
        outcome = trainer.train()
    if outcome.reason == "interrupted":
        reporter.say(f"saved at step {outcome.step}; go on with: qkv train {run}")
        raise typer.Exit(128 + (outcome.signal or signal.SIGINT))
    score = "" if outcome.score is None else f", best score {outcome.score:.2f}"
    reporter.say(f"{outcome.reason} at step {outcome.step}{score}; the model: {run / 'model'}")


def _check_folder(run: Path, request: _Request) -> None:
    """Refuse a new run's folder that is read, or that holds what the run would replace."""
    for source in (*request.sources, *([Path(request.initial)] if request.initial else [])):
        if run.exists() and source.exists() and run.samefile(source):
            raise QkvError(f"--out {run} is what is read: name another folder")
    for below in (run / "model", run / "checkpoints"):
        if os.path.lexists(below):
            raise QkvError(f"--out {run}: {below} is there already, and of no run: name another folder")


def _new_run(request: _Request, reporter: TerminalReporter) -> tuple[Path, Recipe]:
    """The folder and the recipe of a new run, given or suggested."""
    initial, others, file = request.initial, dict(request.options), Path(request.what)
    from_recipe = bool(request.what) and file.suffix.lower() in (".yaml", ".yml")
    if from_recipe and not initial:
        initial = others.pop("from", "")  # another word for it, where no data has languages to name
    assignments = [*([f"initial={initial}"] if initial else []), *request.assignments]
    if from_recipe:
        for name, value in {"data": request.data, "system": request.system, **others}.items():
            if value:
                raise QkvError(f"--{name} is for training without a recipe: {file} says all of it; --set replaces")
        return request.out or Path("runs") / file.stem, Recipe.read(file, assignments)
    if not request.sources:
        raise QkvError(f"nothing to train on: give a recipe, a run, or data, which is {_known_data()}")
    system = find_system(request.system, _SYSTEM) if request.system else _look(request, reporter)
    for name in request.options:
        if name not in [option.name for option in system.options]:
            raise QkvError(f"--{name} is not for {system.called}: leave it out, or name another --system")
    initial = find_initial(request.initial, system) if request.initial else None
    asked = Asked(
        data=request.sources,
        assignments=request.assignments,
        options=request.options,
        on_accelerator=torch.accelerator.is_available(),
        initial=None if initial is None else read_saved(initial, system.part("saved").Saved),
        out=request.out,
    )
    suggested = system.part("suggest").suggest(asked, reporter)
    recipe = Recipe.suggested({"system": system.name, **suggested.sections}, assignments)
    reporter.say(suggested.reason(recipe.task, recipe.training))
    run = request.out or Path("runs") / suggested.name
    if suggested.next_step:
        reporter.say(suggested.next_step.format(run=run))
    return run, recipe


def _look(request: _Request, reporter: TerminalReporter) -> System:
    """The system that the data is for, by what each system says of it."""
    for path in request.sources:
        if not regular(path).exists():
            raise QkvError(f"{path} does not exist: check the path")
    found, named = recognised(request.sources, request.options), " and ".join(map(str, request.sources))
    if not found:
        for system in systems():
            told = {option.name: option.metavar for option in system.options if option.tells_data}
            if told and system.part("suggest").recognise(request.sources, {**told, **request.options}):
                return system  # it says itself what it has to be told
        raise QkvError(f"{named}: no system knows this data; it may be {_known_data()}; {_SYSTEM} says which is meant")
    (first, what), *others = found
    could = "".join(f"; {_SYSTEM} {system.name} would train {system.called}" for system, _ in others)
    reporter.say(f"{named}: {what}: training {first.called}{could}")
    return first


def _known_data() -> str:
    return "; ".join(f"for {system.called} {system.trained_on}" for system in systems())


def _without(arguments: list[str], option: str) -> list[str]:
    """Command-line arguments without an option that takes a value."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != option and not argument.startswith(f"{option}="):
            kept.append(argument)
        skip = argument == option
    return kept
