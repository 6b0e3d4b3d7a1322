"""The `qkv` command: finds the function behind a verb, and turns errors into one line and an exit status.

Verbs of one system are in its `verbs`; so are `eval`, `explain` and `export`, of which each system has its own, with
options of its own: the model, the first word behind the verb, says whose is meant. A function is imported when it is
called for, and nothing else is.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from qkv.errors import QkvError, missing_extra
from qkv.model_directory import local_model
from qkv.systems.options import Model
from qkv.systems.registry import system_of, systems
from qkv.systems.system import Verb
from qkv.terminal.text import show, show_warnings

_SHARED = {
    "train": "Train a model, with a recipe or straight from data.",
    "average": "Average the weights of models that were trained on from the same one.",
    "import": "Import a checkpoint of another library.",
    "models": "List the bundled models.",
}
_OF_ANY_SYSTEM = {
    "eval": ("be measured", "Measure a model on a test set."),
    "explain": ("be explained", "Look inside a model while it works."),
    "export": ("be exported", "Export a model as a program that other runtimes run."),
}
"""What several systems' verbs of one name have in common: what a model can then do, and a line of help."""
_ALSO = {"output": "out"}
"""Other spellings of options, of all verbs."""


def verbs() -> dict[str, str]:
    """The words that may follow `qkv`, and a line of help for each."""
    own = {word: verb.help for system in systems() for word, verb in system.verbs.items() if word not in _OF_ANY_SYSTEM}
    return {**own, **_SHARED, **{word: help_ for word, (_, help_) in _OF_ANY_SYSTEM.items()}}


def find_function(verb: str, words: Sequence[str]) -> Callable[..., Any]:
    """The typed function that does a verb, given the words behind it; refuses a model that cannot do it."""
    if verb in _SHARED:
        module = import_module(f"qkv.cli.{verb}_" if verb == "import" else f"qkv.cli.{verb}")
        return module.make(words) if hasattr(module, "make") else getattr(module, module.__name__.rpartition(".")[2])
    able = {system: system.verbs[verb] for system in systems() if verb in system.verbs}
    needs_model = all(how.needs_model for how in able.values())
    model = _model_among(words) if needs_model else None
    if model is None:
        return _overview(verb, able) if needs_model else next(iter(able)).function(verb)
    system = system_of(model)
    if system not in able:
        what = _OF_ANY_SYSTEM[verb][0] if verb in _OF_ANY_SYSTEM else verb
        raise QkvError(f"{model} is {system.called}, which cannot {what}: {system.use}")
    return system.function(verb)


def _model_among(words: Sequence[str]) -> str | None:
    """The first word, where it is no option; else the first that names a model here."""
    if words and not words[0].startswith("-"):
        return words[0]
    return next((word for word in words if not word.startswith("-") and local_model(word)), None)


def _overview(verb: str, able: "dict[Any, Verb]") -> Callable[..., Any]:
    """A function that has only help, for a verb whose options depend on the model."""
    lines = "\n\n".join(f"{system.called}: {how.help}" for system, how in able.items())
    what = _OF_ANY_SYSTEM[verb][1] if verb in _OF_ANY_SYSTEM else verbs()[verb]

    def overview(model: Model) -> None:
        raise QkvError(f"name a model first, as in: qkv {verb} MODEL; `qkv models` lists those that come along")

    overview.__doc__ = f"{what} The options are the model's own: qkv {verb} MODEL --help\n\n{lines}"
    return overview


class _PlainFlags:
    """Help that gives no type for options that are given or not, and take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc] (a command of typer has it)
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return found


class _Command(_PlainFlags, TyperCommand):
    pass


class _Verbs(_PlainFlags, TyperGroup):
    """All verbs, of which only one has its function: the one that is called for, when the words behind it are known."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        verb, command, words = super().resolve_command(ctx, args)
        if verb is not None:
            with suppress(*([QkvError] if ctx.resilient_parsing else [])):  # a shell that completes wants no errors
                only = typer.Typer(add_completion=False)
                only.command(verb, cls=_Command)(find_function(verb, words))
                command = typer.main.get_command(only)
        return verb, command, words


def _app() -> typer.Typer:
    """The command line; of each verb it has only a line of help until it is called for."""
    app = typer.Typer(
        name="qkv",
        cls=_Verbs,
        help="One Transformer, whole: train it, translate with it, look inside while it runs.",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "token_normalize_func": lambda name: _ALSO.get(name, name),
        },
    )
    for word, help_ in verbs().items():
        app.command(word, help=help_)(lambda: None)

    @app.callback(invoke_without_command=True)
    def options(
        context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and exit.")
    ) -> None:
        if not version and context.invoked_subcommand is None:
            typer.echo(context.get_help())
        if version:
            import qkv

            show(qkv.__version__)
            raise typer.Exit

    return app


# What typer raises for options it does not know; it has no public name of its own in every version.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def main() -> None:
    """Run the command line; exits 0, 1 for an error, 2 for a wrong option, 130 for Ctrl-C."""
    show_warnings()
    status = 0
    words = sys.argv[1:]
    verb = words[0] if words and words[0] in verbs() else None
    try:
        status = _app()(prog_name="qkv", standalone_mode=False)
    except _UsageError as error:
        message = getattr(error, "format_message", error.__str__)()
        model = [word for word in words[1:2] if verb in _OF_ANY_SYSTEM and not word.startswith("-")]
        _fail(f"{message} ({' '.join(['qkv', *([verb] if verb else []), *model])} --help lists the options)", 2)
    except QkvError as error:
        _fail(str(error), 1)
    except ImportError as error:
        _fail(str(missing_extra(error)), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    except OSError as error:  # typer itself ends quietly when whoever reads the output has enough
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    show(f"error: {message.replace(chr(10), ' ')}", to_stderr=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
