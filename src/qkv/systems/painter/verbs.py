"""What the command line does with a painter."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from PIL import Image

from qkv.data.text.tokenizer import without_surrogates
from qkv.errors import QkvError
from qkv.figures.gallery import draw_gallery
from qkv.figures.labels import missing_characters
from qkv.files import atomic_file
from qkv.model_directory import local_model
from qkv.reporter import Table
from qkv.systems.judge import open_judge, open_reader
from qkv.systems.options import (
    AsJson,
    Assignments,
    BatchSize,
    Device,
    Force,
    Model,
    Quiet,
    Threads,
    complete_model,
    load,
    refuse_files,
)
from qkv.systems.painter import SYSTEM
from qkv.systems.painter.pipeline import Painter
from qkv.systems.registry import check_system, first_bundled, names_model
from qkv.terminal.output import (
    Target,
    check_files,
    name_left_out,
    name_written,
    print_json,
    print_table,
    write_bytes,
)
from qkv.terminal.reporter import TerminalReporter
from qkv.terminal.text import show

if TYPE_CHECKING:
    from qkv.data.captions.evaluation import EvaluationData
    from qkv.systems.painter.report import PainterReport

_FRAMES, _SECONDS, _LAST_SECONDS, _SIDE = 64, 4.0, 2.0, 256  # of a picture as it forms
_ROWS, _PICTURES = 24, 7  # captions of the grid, and drawn pictures of each

_Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODEL] CAPTION...",
        autocompletion=complete_model,
        help="The first of several words is the model if it is a bundled model's name (or nearly), a folder of a model "
        "or run, or has a '/' but no space in it; otherwise the model is the first painter that `qkv models` lists. "
        "All others are captions.",
        show_default=False,
    ),
]
_Data = Annotated[
    Path,
    typer.Argument(
        help="Pictures with captions, in a folder, a table or a shard; or a run or the .yaml of a recipe, whose "
        "validation pictures are taken."
    ),
]
_N = Annotated[int, typer.Option("-n", min=1, max=1000, help="Pictures for each caption.")]
_Seed = Annotated[int | None, typer.Option(help="Another seed, other pictures.  [default: 0]")]
_Temperature = Annotated[float | None, typer.Option(help="Below 1 is bolder, above 1 more varied.  [default: 1]")]
_TopK = Annotated[int | None, typer.Option(help="Draw each code from the k most probable only.")]
_TopP = Annotated[
    float | None, typer.Option(help="Draw each code from the most probable ones that hold this much probability.")
]
_Guidance = Annotated[
    float | None,
    typer.Option(help="How closely to follow the caption; 1 is as the model learnt it; its own unless given."),
]
_Scorer = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Put those first that suit the caption best by the judgement of this scorer; or of this classifier, one "
        "of whose labels the caption names.",
    ),
]


def draw(
    words: _Words,
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="All pictures, over their captions.")] = Path(
        "drawing.png"
    ),
    n: _N = 1,
    seed: _Seed = None,
    temperature: _Temperature = None,
    top_k: _TopK = None,
    top_p: _TopP = None,
    guidance: _Guidance = None,
    prime: Annotated[Path | None, typer.Option(metavar="PICTURE", help="Complete this picture.")] = None,
    keep_rows: Annotated[int, typer.Option(help="With --prime: rows of its grid of codes to keep.")] = 0,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Put the pictures that the caption suits best first.")
    ] = False,
    scorer: _Scorer = "",
    gif: Annotated[Path | None, typer.Option(metavar="FILE.gif", help="The first picture as it forms.")] = None,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Draw pictures for captions: a picture is written like a sentence, code by code."""
    refuse_files(words, "give the captions themselves")
    model, captions = _model_and_captions(words)
    reads = [prime, local_model(model), local_model(scorer) if scorer else None]
    check_files(Target("--out", out, ".png"), Target("--gif", gif, ".gif"), reads=reads, force=force)
    check_system(model, SYSTEM, "draw")
    judge = open_judge(scorer, device) if scorer else None
    painter = load(Painter, model, device, threads, batch_size)
    with TerminalReporter(silent=quiet) as reporter:
        options = _chosen(n=n, seed=seed, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
        options |= {"prime": prime, "keep_rows": keep_rows, "rerank": rerank}
        progress = partial(reporter.progress, "drawing codes")
        drawings = painter.drawings(captions, **options, scorer=judge, progress=progress)
    write_bytes(out, draw_gallery([[drawing.image for drawing in row] for row in drawings], captions))
    if missing := missing_characters("".join(captions)):
        show(f"no installed font has {' '.join(sorted(missing))}: the picture shows boxes for them")
    if gif is not None:
        every = max(painter.model.config.image_length // _FRAMES, 1)
        _write_gif(gif, painter.frames(drawings[0][0], every))
    if not quiet:
        name_written({"the picture": out, "how it forms": gif})


def _chosen(**options: float | None) -> dict[str, Any]:
    """Keywords of `Painter.drawings`, those that are given."""
    return {name: value for name, value in options.items() if value is not None}


def _model_and_captions(words: list[str]) -> tuple[str, list[str]]:
    """Tell the model's name from the captions, by the rule that `--help` states."""
    first, *others = words
    captions = [without_surrogates(word) for word in words]
    if others and names_model(first):
        return first, captions[1:]
    if not others and local_model(first):
        raise QkvError(f'{first} is a model; say what it is to draw, as in: qkv draw {first} "A CAPTION"')
    if (model := first_bundled(SYSTEM)) is not None:
        return model, captions
    raise QkvError(
        f"{first[:80]!r} is no model, and no painter comes with this version: name a model folder or a run before the "
        "captions"
    )


def _write_gif(path: Path, frames: Iterable[Image.Image]) -> None:
    images = list(frames)
    scale = max(_SIDE // images[0].width, 1)
    size = images[0].width * scale, images[0].height * scale
    first, *others = (image.resize(size, Image.Resampling.NEAREST) for image in images)
    each, last = round(1000 * _SECONDS / len(images)), round(1000 * _LAST_SECONDS)
    duration = [*([each] * len(others)), last]
    with atomic_file(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def evaluate(
    model: Model,
    data: _Data,
    judge: Annotated[
        str | None, typer.Option(metavar="CLASSIFIER", help="Say how often it reads the caption's class in a picture.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="DATA", help="The training pictures, to find copies; a recipe names its own.")
    ] = None,
    n: _N = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Captions to draw, evenly chosen; or all.")] = None,
    seed: _Seed = None,
    temperature: _Temperature = None,
    top_k: _TopK = None,
    top_p: _TopP = None,
    guidance: _Guidance = None,
    grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw for some captions a real picture, and drawn ones after it."),
    ] = None,
    set_: Assignments = None,
    as_json: AsJson = False,
    force: Force = False,
    device: Device = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    quiet: Quiet = False,
) -> None:
    """Measure a painter: whether pictures show what captions say, how varied they are, and whether they are copies."""
    from qkv.systems.evaluation import open_data  # not for `draw`, which needs no data
    from qkv.systems.painter.report import report

    reads = [data, train, local_model(model), None if judge is None else local_model(judge)]
    check_files(Target("--grid", grid, ".png"), reads=reads, force=force)
    reader = None if judge is None else open_reader(judge, device)
    painter = load(Painter, model, device, threads, batch_size)
    options = _chosen(n=n, seed=seed, temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance)
    with TemporaryDirectory(prefix="qkv-") as cache, TerminalReporter(silent=quiet) as reporter:
        pictures = open_data(data, Path(cache, "data"), reporter, set_ or [], captioned=True)
        if train is not None:
            known = open_data(train, Path(cache, "train"), reporter)
            pictures = replace(pictures, train=known.train or known.pictures)
        found = report(painter, pictures, judge=reader, limit=limit, progress=reporter.progress, **options)
        if grid is not None:
            write_bytes(grid, _sheet(painter, found, pictures))
    name_left_out([*found.left_out, *found.reconstruction.unreadable])
    if as_json:
        how = {"judge": judge, "options": {"guidance": painter.guidance, **options}}
        how["fid_features"] = None if found.fid is None else judge
        print_json({"model": model, "data": str(data), **how, **found.to_json()})
        return
    title = f"{model} on {data}, {len(found.prompts):,} captions, {found.drawn:,} pictures drawn"
    _print_report(title, found, judge)
    if grid is not None and not quiet:
        show(f"a real picture and drawn ones after it: {grid}")


def _print_report(title: str, found: "PainterReport", judge: str | None) -> None:
    real, nearest = found.reconstruction, found.nearest
    rows = [] if found.fidelity is None else [("class of the caption is read", f"{found.fidelity.share:.1%}", "", "")]
    rows += [
        ("codebook use", f"{found.codebook.use:.1%}", "", f"{real.codebook.use:.1%}"),
        ("codebook perplexity", f"{found.codebook.perplexity:,.1f}", "", f"{real.codebook.perplexity:,.1f}"),
        ("PSNR", "", "", f"{real.psnr:.2f} dB"),
        ("SSIM", "", "", f"{real.ssim:.4f}"),
    ]
    if found.diversity is not None:
        rows.append(("between two pictures of a caption", f"{found.diversity:.4f}", "", ""))
    if nearest is not None:
        columns = nearest.drawn, nearest.real, nearest.reconstructed
        for name in ("mean", "median", "least"):
            drawn, of_real, back = (f"{getattr(distances, name):.4f}" for distances in columns)
            rows.append((f"to the nearest training picture, {name}", drawn, of_real, back))
    if found.fid is not None:
        rows.append(("FID", f"{found.fid:.3f}", "", ""))
    show(title)
    show(f"{real.pictures:,} real pictures" + ("" if nearest is None else f", {nearest.train:,} training pictures"))
    print_table(Table(("measure", "drawn", "real", "from codes"), rows))
    show("distances are root mean squares of differences between pixels, from 0 to 1")
    show(f"no FID: {found.why_no_fid}" if found.why_no_fid else f"FID over features of {judge}")
    if found.fidelity is not None:
        classes = [(row.label, f"{row.share:.1%}", f"{row.pictures:,}") for row in found.fidelity.classes]
        print_table(Table((f"class, as {judge} reads it", "right", "pictures"), classes))


def _sheet(painter: Painter, found: "PainterReport", data: "EvaluationData") -> bytes:
    """A sheet of some captions, evenly chosen: a real picture of each, if it can be read, and drawn ones after it."""
    from qkv.data.pictures.preprocessing import to_images

    count = min(_ROWS, len(found.prompts))
    rows, captions = [], []
    for number in (place * len(found.prompts) // count for place in range(count)):
        prompt = found.prompts[number]
        try:
            real = to_images(data.pictures.pixels(prompt.picture, painter.codes.preprocessing)[None] / 255)
        except QkvError:  # reported already
            real = []
        rows.append([*real, *found.images[number][:_PICTURES]])
        captions.append(prompt.text)
    return draw_gallery(rows, captions)
