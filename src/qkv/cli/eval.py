"""`qkv eval`: how good a model is on a test set."""

from pathlib import Path
from typing import Annotated

import typer

from qkv.errors import QkvError

_DEFAULT_N = 4
_MODELS = {
    "vit": "classifier: give its test set, such as a folder of class folders",
    "dvae": "discrete VAE: give it pictures, such as a folder of them, or the .yaml of a recipe",
    "dalle": "painter: give it captioned pictures, such as a folder with a .txt beside each, or the .yaml of a recipe",
}
"""What each model of pictures is, and what it is measured on."""


def evaluate(
    model: Annotated[str, typer.Argument(help="Bundled model, model folder, run, or owner/name on the Hub.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Classifiers: a folder of class folders, a .csv or .parquet table, or IDX pictures. Painters: "
            "pictures with captions, in a folder, a table or a shard. Discrete VAEs: pictures. For the last two also "
            "a run or the .yaml of a recipe, whose validation pictures are taken."
        ),
    ] = None,
    src: Annotated[Path | None, typer.Option(help="Translators: text, a sentence a line; .gz is unpacked.")] = None,
    ref: Annotated[Path | None, typer.Option(help="Translators: its translation by a person, line by line.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Translators: language of --src.")] = None,
    to: Annotated[str | None, typer.Option(help="Translators: language of --ref.")] = None,
    beam_size: Annotated[
        int | None, typer.Option(help="Translators: hypotheses that go on, 5 unless given; 1 is greedy.")
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Classifiers: draw what each class is taken for.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="CLASSIFIER", help="Painters: say how often it reads the caption's class in a picture."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Painters: the training pictures, to find copies; a recipe names its own."),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help=f"Painters: pictures for each caption, {_DEFAULT_N} unless given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Painters: captions to draw, evenly chosen; or all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Painters: another seed, other pictures.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Painters: below 1 is bolder, above 1 more varied.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Painters: draw from the k most probable codes only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Painters: draw from the codes that hold this much probability.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Painters: how closely to follow the caption, if not their own.")
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Painters: for some captions a real picture, and drawn ones after it. Discrete VAEs: pictures over "
            "what comes back from their codes.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="With a recipe: replace a field of it, as in `qkv train`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on a test set.

    Translators: BLEU, chrF and TER, with signatures and 95 % confidence intervals. Classifiers: accuracy, calibration,
    and precision, recall and F1 of each class. Painters: whether pictures show what captions say, how varied they are,
    and whether they are copies. Discrete VAEs: how well pictures come back from their codes.
    """
    from qkv.cli.naming import check_system, refuse_options, system_of
    from qkv.terminal.output_file import check_target

    check_system(model, ("translator", "vit", "dalle", "dvae"), "be measured")
    system = system_of(model)
    text = {"--src": src, "--ref": ref, "--from": from_, "--to": to, "--beam-size": beam_size}
    drawing = {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p, "guidance": guidance}
    painting = {"--judge": judge, "--train": train, "-n": n, "--limit": limit}
    painting |= {f"--{name.replace('_', '-')}": value for name, value in drawing.items()}
    for systems, whose, options in (
        (("translator",), "translators", text),
        (("vit",), "classifiers", {"--confusion": confusion}),
        (("dalle",), "painters", painting),
        (("dalle", "dvae"), "painters and discrete VAEs", {"--grid": grid, "--set": set_}),
        (("vit", "dalle", "dvae"), "models of pictures", {str(data): data}),
    ):
        if system not in systems:
            refuse_options(model, system, whose, options)
    check_target("--grid", grid, ".png")
    check_target("--confusion", confusion, ".png")
    if system == "translator":
        _evaluate_translator(model, src, ref, from_, to, beam_size, as_json)
        return
    if data is None:
        raise QkvError(f"{model} is a {_MODELS[system]}")
    if system == "vit":
        from qkv.systems.classifier.evaluate import evaluate_classifier

        evaluate_classifier(model, data, confusion, as_json)
    elif system == "dvae":
        from qkv.systems.codes.verbs import evaluate_codes

        evaluate_codes(model, data, set_ or [], grid, as_json)
    else:
        from qkv.systems.painter.evaluate import evaluate_painter

        chosen = {"n": n or _DEFAULT_N, **{name: value for name, value in drawing.items() if value is not None}}
        evaluate_painter(model, data, set_ or [], judge, train, limit, chosen, grid, as_json)


def _evaluate_translator(
    model: str,
    src: Path | None,
    ref: Path | None,
    from_: str | None,
    to: str | None,
    beam_size: int | None,
    as_json: bool,
) -> None:
    from qkv.systems.translator.evaluate import evaluate_translator

    if src is None or ref is None or from_ is None or to is None:
        given = {"--src": src, "--ref": ref, "--from": from_, "--to": to}
        missing = " and ".join(name for name, value in given.items() if value is None)
        raise QkvError(f"{model} is a translator: to measure it, {missing} must be given too")
    evaluate_translator(model, src, ref, from_, to, beam_size, as_json)
