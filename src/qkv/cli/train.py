"""`qkv train`: from a recipe, from bare text, or on from where a run stopped."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.train.distributed import World


def train(
    what: Annotated[str, typer.Argument(metavar="[RECIPE.yaml | RUN]", help="A recipe, or a run to go on with.")] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Without a recipe: a TSV or JSONL file of pairs, or two line-aligned text files."),
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="Language of the first column or file.")] = "",
    to: Annotated[str, typer.Option(help="Language of the second column or file.")] = "",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME if not given.")] = None,
    initial: Annotated[
        str, typer.Option(metavar="MODEL", help="Start from this model's tokenizer and weights: fine-tuning.")
    ] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field: model.d_model=256.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share the work: one a core on a CPU, or one a GPU.")
    ] = 1,
) -> None:
    """Train a model, with a recipe or straight from text; Ctrl-C saves, and `qkv train RUN` goes on."""
    from qkv.train.distributed import join, launch

    if processes > 1:
        raise typer.Exit(launch(processes, ["qkv", *_without(sys.argv[1:], "--processes")]))
    with join() as world:
        assignments = [*([f"initial={initial}"] if initial else []), *(set_ or [])]
        _train(world, what, data or [], from_, to, out, initial, assignments)


def _train(
    world: "World",
    what: str,
    data: list[Path],
    from_: str,
    to: str,
    out: Path | None,
    initial: str,
    assignments: list[str],
) -> None:
    from rich.console import Console

    from qkv.train.recipe import RECIPE, Recipe
    from qkv.train.run import open_run

    console = Console(stderr=True, quiet=not world.leads)
    path = Path(what)
    if what and data:
        raise QkvError("give a recipe or --data, not both")
    if what and (path / RECIPE).exists():
        if out or assignments:
            raise QkvError(
                f"{path} goes on as it began: --out, --initial and --set are for new runs (or edit {path / RECIPE})"
            )
        run, recipe = path, Recipe.read(path / RECIPE)
    else:
        if what:
            recipe = Recipe.read(path, assignments)
        else:
            recipe = Recipe.from_mapping(_recipe_for(data, from_, to, initial, console), "the suggestion", assignments)
        run = out or Path("runs") / (path.stem if what else data[0].name.split(".")[0] if data else "")
        if (run / RECIPE).exists():
            raise QkvError(f"{run} is a run already: go on with `qkv train {run}`, or choose another --out")
    trainer = open_run(run, recipe, console, world)
    if world.leads:
        recipe.write(run / RECIPE)
    outcome = trainer.train()
    if outcome.reason == "interrupted":
        console.print(f"saved at step {outcome.step}; go on with: qkv train {run}", highlight=False)
        raise typer.Exit(128 + (outcome.signal or signal.SIGINT))
    score = "" if outcome.score is None else f", best score {outcome.score:.2f}"
    console.print(f"{outcome.reason} at step {outcome.step}{score}; the model: {run / 'model'}", highlight=False)


def _without(arguments: list[str], option: str) -> list[str]:
    """Command-line arguments without an option that takes a value."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != option and not argument.startswith(f"{option}="):
            kept.append(argument)
        skip = argument == option
    return kept


def _recipe_for(data: list[Path], from_: str, to: str, initial: str, console: Any) -> dict[str, Any]:
    """The recipe that suits bare text."""
    import torch

    from qkv.data.parallel import measure
    from qkv.model_directory import read_config
    from qkv.tasks.suggestion import suggest
    from qkv.train.run import find_initial

    if not data:
        raise QkvError("nothing to train on: give a recipe, a run, or --data FILE --from LANGUAGE --to LANGUAGE")
    if not from_ or not to:
        raise QkvError(f"--data {data[0]} needs --from and --to, such as --from en --to ko")
    if len(data) > 2:
        raise QkvError(f"--data takes one table or two line-aligned files, not {len(data)}; use a recipe for more")
    corpus: dict[str, Any] = {"directions": [f"{from_}-{to}"]}
    if len(data) == 2:
        corpus["files"] = {from_: str(data[0]), to: str(data[1])}
    else:
        corpus |= {"table": str(data[0]), "columns": [from_, to]}
    model = read_config(find_initial(initial, "translator")) if initial else None
    suggestion = suggest(*measure(corpus), on_accelerator=torch.accelerator.is_available(), initial=model)
    console.print(suggestion.reason, highlight=False)
    return {"system": "translator", **suggestion.sections, "data": {"train": [corpus], **suggestion.sections["data"]}}
