"""The `qkv` command: registers the verbs, and turns errors into one line and an exit status."""

import signal
import sys

import typer

from qkv.cli.average import average
from qkv.cli.eval import evaluate
from qkv.cli.explain import explain
from qkv.cli.export import export
from qkv.cli.import_ import import_model
from qkv.cli.models import models
from qkv.cli.train import train
from qkv.errors import QkvError
from qkv.systems.classifier.verbs import classify
from qkv.systems.painter.verbs import draw
from qkv.systems.translator.verbs import translate

VERBS = {
    "translate": translate,
    "classify": classify,
    "draw": draw,
    "train": train,
    "eval": evaluate,
    "explain": explain,
    "average": average,
    "import": import_model,
    "export": export,
    "models": models,
}

app = typer.Typer(
    name="qkv",
    help="One Transformer, whole: train it, translate with it, look inside while it runs.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and exit.")
) -> None:
    if not version and context.invoked_subcommand is None:
        print(context.get_help())
    if version:
        import qkv

        print(qkv.__version__)
        raise typer.Exit


# What typer raises for options it does not know; it has no public name of its own in every version.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def main() -> None:
    """Run the command line; exits 0, 1 for an error, 2 for a wrong option, 130 for Ctrl-C."""
    status = 0
    try:
        status = app(standalone_mode=False)
    except _UsageError as error:
        _fail(f"{getattr(error, 'format_message', error.__str__)()} (qkv {_verb_given()}--help lists the options)", 2)
    except QkvError as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    except OSError as error:  # typer itself ends quietly when whoever reads the output has enough
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    sys.exit(status if isinstance(status, int) else 0)


def _verb_given() -> str:
    return f"{sys.argv[1]} " if len(sys.argv) > 1 and sys.argv[1] in VERBS else ""


def _fail(message: str, status: int) -> None:
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
