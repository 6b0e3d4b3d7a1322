"""`qkv draw`: pictures for captions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

_FRAMES, _SECONDS, _LAST_SECONDS, _SIDE = 64, 4.0, 2.0, 256


def draw(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] CAPTION...",
            help="The first of several words is the model if it is a bundled model's name (or nearly), a folder of a "
            "model or run, or has a '/' but no space in it; otherwise the model is the first painter that `qkv models` "
            "lists. All others are captions.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="All pictures, over their captions.")] = Path(
        "drawing.png"
    ),
    n: Annotated[int, typer.Option("-n", min=1, help="Pictures for each caption.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed, other pictures.")] = 0,
    temperature: Annotated[float, typer.Option(help="Below 1 is bolder, above 1 more varied.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw each code from the k most probable only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw each code from the most probable ones that hold this much probability.")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="How closely to follow the caption; 1 is as the model learnt it; its own unless given."),
    ] = None,
    prime: Annotated[Path | None, typer.Option(metavar="PICTURE", help="Complete this picture.")] = None,
    keep_rows: Annotated[int, typer.Option(help="With --prime: rows of its grid of codes to keep.")] = 0,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Put the pictures that the caption suits best first.")
    ] = False,
    scorer: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Put those first that suit the caption best by the judgement of this scorer; or of this classifier, "
            "one of whose labels the caption names.",
        ),
    ] = "",
    gif: Annotated[Path | None, typer.Option(metavar="FILE.gif", help="The first picture as it forms.")] = None,
) -> None:
    """Draw pictures for captions: a picture is written like a sentence, code by code."""
    import qkv
    from qkv.cli.naming import check_system
    from qkv.data.text.tokenizer import without_surrogates
    from qkv.figures.fonts import find_fonts, printable
    from qkv.figures.gallery import draw_gallery
    from qkv.files import atomic_file
    from qkv.terminal.output_file import check_target
    from qkv.terminal.progress import progress_bar

    check_target("--out", out, ".png")
    check_target("--gif", gif, ".gif")
    model, captions = _model_and_captions(words)
    captions = [without_surrogates(caption) for caption in captions]
    check_system(model, "dalle", "draw")
    if scorer:
        check_system(scorer, ("clip", "vit"), "judge pictures", "give a scorer or a classifier")
    painter, judge = qkv.load(model), qkv.load(scorer) if scorer else None
    with progress_bar("codes") as bar:
        task = bar.add_task("drawing", total=None)
        drawings = painter.drawings(
            captions,
            n=n,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            guidance=guidance,
            prime=prime,
            keep_rows=keep_rows,
            rerank=rerank,
            scorer=judge,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    with atomic_file(out) as temporary:
        temporary.write_bytes(draw_gallery([[drawing.image for drawing in row] for row in drawings], captions))
    if missing := find_fonts(printable("".join(captions)))[1]:
        print(f"no installed font has {' '.join(sorted(missing))}: the picture shows boxes for them")
    print(f"the picture: {out}")
    if gif is not None:
        every = max(painter.model.config.image_length // _FRAMES, 1)
        _write_gif(gif, painter.frames(drawings[0][0], every))
        print(f"how it forms: {gif}")


def _model_and_captions(words: list[str]) -> tuple[str, list[str]]:
    """Tell the model's name from the captions, by the rule that `--help` states."""
    from qkv.cli.naming import names_model
    from qkv.model_directory import bundled_models, local_model, read_config

    first, *others = words
    if others and names_model(first):
        return first, others
    if not others and local_model(first):
        raise QkvError(f'{first} is a model; say what it is to draw, as in: qkv draw {first} "A CAPTION"')
    for name, folder in bundled_models().items():
        if read_config(folder)["system"] == "dalle":
            return name, words
    raise QkvError(
        f"{first[:80]!r} is no model, and no painter comes with this version: name a model folder or a run before the "
        "captions"
    )


def _write_gif(path: Path, frames: "Iterable[Image.Image]") -> None:
    from PIL import Image

    from qkv.files import atomic_file

    first, *others = frames
    scale = max(_SIDE // first.width, 1)
    size = first.width * scale, first.height * scale
    first, *others = (frame.resize(size, Image.Resampling.NEAREST) for frame in (first, *others))
    each, last = round(1000 * _SECONDS / (len(others) + 1)), round(1000 * _LAST_SECONDS)
    with atomic_file(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[*([each] * len(others)), last],
            loop=0,
        )
