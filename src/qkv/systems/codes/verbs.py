"""`qkv eval` of a discrete VAE: how well pictures come back from their codes."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path


def evaluate_codes(model: str, data: Path, assignments: Sequence[str], grid: Path | None, as_json: bool) -> None:
    """Measure a discrete VAE.

    Args:
        model: its name or folder.
        data: pictures, or a recipe.
        assignments: replace fields of the recipe.
        grid: where to draw pictures over their reconstructions, if anywhere.
        as_json: whether to print one JSON object instead of a table.

    Raises:
        QkvError: the pictures cannot be used.
    """
    from rich.console import Console
    from rich.table import Table

    import qkv
    from qkv.figures.grid import draw_reconstructions
    from qkv.files import atomic_file
    from qkv.systems.codes import report as codes_report
    from qkv.terminal.evaluation_data import open_data, temporary_cache
    from qkv.terminal.progress import name_left_out, progress_of_stages

    codes = qkv.load(model)
    with temporary_cache() as cache:
        found = open_data(data, cache, assignments)
        with progress_of_stages() as show:
            report = codes_report.evaluate_codes(codes, found.pictures, partial(show, data.name))
    name_left_out([*found.left_out, *report.unreadable])
    if grid is not None:
        with atomic_file(grid) as temporary:
            temporary.write_bytes(draw_reconstructions(report.originals, report.reconstructions))
    if as_json:
        print(json.dumps({"model": model, "data": str(data), **report.to_json()}, ensure_ascii=False))
        return
    table = Table("measure", "value")
    table.add_row("PSNR", f"{report.psnr:.2f} dB")
    table.add_row("SSIM", f"{report.ssim:.4f}")
    table.add_row("codebook use", f"{report.codebook.use:.1%} of {report.codebook.codes:,} codes")
    table.add_row("codebook perplexity", f"{report.codebook.perplexity:,.1f}")
    print(f"{model} on {data}, {report.pictures:,} pictures")
    Console(markup=False).print(table)
    if grid is not None:
        print(f"pictures over their reconstructions: {grid}")
