"""Arguments and options that verbs of several systems have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol, Self, TypeVar

import typer

from qkv.errors import QkvError
from qkv.model_directory import bundled_models, find_model, local_model


def complete_model(incomplete: str) -> list[str]:
    """The bundled models whose names begin so; a shell itself knows folders."""
    return [name for name in bundled_models() if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Argument(help="A bundled model, a model folder or a run.", show_default=False, autocompletion=complete_model),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Weights = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All weights as data.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="With a recipe: replace a field of it, as in `qkv train`."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already; never what is read.")]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where to compute, such as cpu or cuda:1; the accelerator if there is one."),
]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="Processor threads to compute with.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Most inputs at once: fewer take less memory, and change no result.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no remarks; results and errors alone.")]


class _Loads(Protocol):
    @property
    def batch_size(self) -> int: ...

    @batch_size.setter
    def batch_size(self, number: int) -> None: ...

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Self: ...


P = TypeVar("P", bound=_Loads)


def load(
    kind: type[P], model: str, device: str | None = None, threads: int | None = None, batch_size: int | None = None
) -> P:
    """The pipeline of a model, which computes as these options say."""
    from qkv.runtime.device import use_threads  # and PyTorch with it, which help does without

    if threads is not None:
        use_threads(threads)
    pipeline = kind.load(find_model(model), device)
    if batch_size is not None:
        pipeline.batch_size = batch_size
    return pipeline


def refuse_files(texts: Sequence[str], instead: str) -> None:
    """Refuse texts that are names of files here, which nobody means to have translated or drawn."""
    for text in texts:
        if _is_file(text) and not local_model(text):
            raise QkvError(f"{text} is a file, and its name no text to work on: {instead.format(text)}")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
