"""What the command line does with a discrete VAE."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from qkv.figures.grid import draw_reconstructions
from qkv.model_directory import local_model
from qkv.reporter import Table
from qkv.systems.codes.pipeline import Codes
from qkv.systems.options import AsJson, Assignments, BatchSize, Device, Force, Model, Quiet, Threads, load
from qkv.terminal.output import Target, check_files, name_left_out, print_json, print_table, write_bytes
from qkv.terminal.reporter import TerminalReporter
from qkv.terminal.text import show


def evaluate(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(
            help="Pictures, in a folder, a table, an IDX file or a shard; or a run or the .yaml of a recipe, whose "
            "validation pictures are taken."
        ),
    ],
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw pictures over what comes back from their codes.")
    ] = None,
    set_: Assignments = None,
    as_json: AsJson = False,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Measure a discrete VAE: how well pictures come back from their codes, and how much of the codebook they use."""
    from qkv.systems.codes.report import report
    from qkv.systems.evaluation import open_data

    check_files(Target("--grid", grid, ".png"), reads=[data, local_model(model)], force=force)
    codes = load(Codes, model, device, threads, batch_size)
    with TemporaryDirectory(prefix="qkv-") as cache, TerminalReporter(silent=quiet) as reporter:
        pictures = open_data(data, Path(cache), reporter, set_ or [])
        found = report(codes, pictures.pictures, partial(reporter.progress, data.name))
    name_left_out([*pictures.left_out, *found.unreadable])
    if grid is not None:
        write_bytes(grid, draw_reconstructions(found.originals, found.reconstructions))
    if as_json:
        print_json({"model": model, "data": str(data), **found.to_json()})
        return
    rows = [
        ("PSNR", f"{found.psnr:.2f} dB"),
        ("SSIM", f"{found.ssim:.4f}"),
        ("codebook use", f"{found.codebook.use:.1%} of {found.codebook.codes:,} codes"),
        ("codebook perplexity", f"{found.codebook.perplexity:,.1f}"),
    ]
    show(f"{model} on {data}, {found.pictures:,} pictures")
    print_table(Table(("measure", "value"), rows))
    if grid is not None and not quiet:
        show(f"pictures over their reconstructions: {grid}")
