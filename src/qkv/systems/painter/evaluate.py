"""`qkv eval` of a painter: what its pictures show, how varied they are, and whether they are copies."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.data.captions.evaluation import EvaluationData
    from qkv.systems.painter.pipeline import Painter
    from qkv.systems.painter.report import PainterReport

_ROWS, _PICTURES = 24, 7  # captions of the grid, and drawn pictures of each


def evaluate_painter(
    model: str,
    data: Path,
    assignments: Sequence[str],
    judge: str | None,
    train: Path | None,
    limit: int | None,
    options: dict[str, Any],
    grid: Path | None,
    as_json: bool,
) -> None:
    """Measure a painter.

    Args:
        model: its name or folder.
        data: captioned pictures, or a recipe.
        assignments: replace fields of the recipe.
        judge: name or folder of a classifier, if there is one.
        train: the training pictures, if `data` does not name them.
        limit: of captions.
        options: keywords of `Painter.drawings`.
        grid: where to draw some of the pictures, if anywhere.
        as_json: whether to print one JSON object instead of tables.

    Raises:
        QkvError: the data cannot be used, the judge is no classifier, or it does not know the class of a caption.
    """
    from dataclasses import replace

    import qkv
    from qkv.cli.naming import check_system
    from qkv.systems.painter import report as painter_report
    from qkv.terminal.evaluation_data import open_data, temporary_cache
    from qkv.terminal.progress import name_left_out, progress_of_stages

    if judge is not None:
        check_system(judge, "vit", "judge what pictures show", "give a classifier")
    painter, classifier = qkv.load(model), None if judge is None else qkv.load(judge)
    with temporary_cache() as cache:
        found = open_data(data, cache / "data", assignments, captioned=True)
        if train is not None:
            known = open_data(train, cache / "train")
            found = replace(found, train=known.train or known.pictures)
        with progress_of_stages() as show:
            report = painter_report.evaluate_painter(
                painter, found, judge=classifier, limit=limit, progress=show, **options
            )
        if grid is not None:
            _draw(grid, painter, report, found)
    name_left_out([*report.left_out, *report.reconstruction.unreadable])
    if as_json:
        facts = {
            "model": model,
            "data": str(data),
            "judge": judge,
            "options": {"guidance": painter.guidance, **options},
        }
        facts["fid_features"] = None if report.fid is None else judge
        print(json.dumps({**facts, **report.to_json()}, ensure_ascii=False))
        return
    _print_report(
        f"{model} on {data}, {len(report.prompts):,} captions, {report.drawn:,} pictures drawn", report, judge
    )
    if grid is not None:
        print(f"a real picture and drawn ones after it: {grid}")


def _print_report(title: str, report: "PainterReport", judge: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    real, nearest = report.reconstruction, report.nearest
    table = Table("measure", "drawn", "real", "from codes")
    if report.fidelity is not None:
        table.add_row("class of the caption is read", f"{report.fidelity.share:.1%}")
    table.add_row("codebook use", f"{report.codebook.use:.1%}", "", f"{real.codebook.use:.1%}")
    table.add_row("codebook perplexity", f"{report.codebook.perplexity:,.1f}", "", f"{real.codebook.perplexity:,.1f}")
    table.add_row("PSNR", "", "", f"{real.psnr:.2f} dB")
    table.add_row("SSIM", "", "", f"{real.ssim:.4f}")
    if report.diversity is not None:
        table.add_row("between two pictures of a caption", f"{report.diversity:.4f}")
    if nearest is not None:
        columns = nearest.drawn, nearest.real, nearest.reconstructed
        for name in ("mean", "median", "least"):
            cells = [f"{getattr(distances, name):.4f}" for distances in columns]
            table.add_row(f"to the nearest training picture, {name}", *cells)
    if report.fid is not None:
        table.add_row("FID", f"{report.fid:.3f}")
    print(title)
    print(f"{real.pictures:,} real pictures" + ("" if nearest is None else f", {nearest.train:,} training pictures"))
    Console(markup=False).print(table)
    print("distances are root mean squares of differences between pixels, from 0 to 1")
    print(f"no FID: {report.why_no_fid}" if report.why_no_fid else f"FID over features of {judge}")
    if report.fidelity is not None:
        classes = Table(f"class, as {judge} reads it", "right", "pictures")
        for row in report.fidelity.classes:
            classes.add_row(row.label, f"{row.share:.1%}", f"{row.pictures:,}")
        Console(markup=False).print(classes)


def _draw(path: Path, painter: "Painter", report: "PainterReport", data: "EvaluationData") -> None:
    """A sheet of some captions, evenly chosen: a real picture of each, if it can be read, and drawn ones after it."""
    from qkv.data.pictures.preprocessing import to_images
    from qkv.figures.gallery import draw_gallery
    from qkv.files import atomic_file

    count = min(_ROWS, len(report.prompts))
    rows, captions = [], []
    for number in (place * len(report.prompts) // count for place in range(count)):
        prompt = report.prompts[number]
        try:
            real = to_images(data.pictures.pixels(prompt.picture, painter.preprocessing)[None] / 255)
        except QkvError:  # reported already
            real = []
        rows.append([*real, *report.images[number][:_PICTURES]])
        captions.append(prompt.text)
    with atomic_file(path) as temporary:
        temporary.write_bytes(draw_gallery(rows, captions))
