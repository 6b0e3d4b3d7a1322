"""`qkv explain`: what a model attends to while it translates a sentence, or on a picture that it classifies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qkv.errors import QkvError
from qkv.terminal.output_file import _write_json

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from qkv.explain import AttentionRecord, Drawing

_LINKS = 8
_FAINT = 0.05
"""A second link below this weight says nothing."""


def explain(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder or a run.", show_default=False)],
    what: Annotated[
        str, typer.Argument(metavar="SENTENCE | PICTURE", help="What to translate or classify.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="[default: attention.png; for PICTURE.jpg PICTURE.attention.png]"),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Translators: language to translate into.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Translators: language of the sentence.")] = None,
    layer: Annotated[
        int | None, typer.Option(help="Show this layer, from 1. [default: what says most]", show_default=False)
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="Translators: show this encoder head, from 1. [default: most informative]")
    ] = None,
    pieces: Annotated[
        bool, typer.Option("--pieces", help="Translators: keep sub-word pieces apart, not merged into words.")
    ] = False,
    json_: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All weights as data.")] = None,
) -> None:
    """Draw where a model looked: while it translated a sentence, or on a picture that it classified."""
    from qkv.cli.naming import check_system, refuse_options, system_of
    from qkv.terminal.output_file import check_target

    if (system := system_of(model)) == "vit":
        given = {"--to": to, "--from": from_, "--head": head, "--pieces": pieces or None}
        refuse_options(model, system, "translators", given)
        out = out or Path(f"{Path(what).stem}.attention.png")
        check_target("--out", out, ".png")
        _explain_picture(model, Path(what), out, layer, json_)
        return
    check_system(model, "translator", "be explained")
    if to is None:
        raise QkvError(f"{model} is a translator: say which language to translate into with --to")
    out = out or Path("attention.png")
    check_target("--out", out, ".png")
    _explain_sentence(model, what, to, out, from_, layer, head, pieces, json_)


def _explain_picture(model: str, picture: Path, out: Path, layer: int | None, json_: Path | None) -> None:
    import qkv
    from qkv.systems.classifier.explain import explain_picture

    predictions, attention = explain_picture(qkv.load(model), picture, out, layer)
    for found in predictions:
        print(f"{found.probability:6.1%}  {found.label}")
    if json_ is not None:
        _write_json(json_, {"file": str(picture), **attention.to_json()})
    print(f"the picture: {out}")
    if json_ is not None:
        print(f"the weights: {json_}")


def _explain_sentence(
    model: str,
    sentence: str,
    to: str,
    out: Path,
    from_: str | None,
    layer: int | None,
    head: int | None,
    pieces: bool,
    json_: Path | None,
) -> None:
    from rich.console import Console

    import qkv
    from qkv.data.text.tokenizer import without_surrogates
    from qkv.explain import draw_translation
    from qkv.systems.translator.explain import explain_translation

    sentence = without_surrogates(sentence)
    translation, record = explain_translation(qkv.load(model), sentence, to, from_)
    record = record if pieces else record.words()
    drawing = draw_translation(record, out, layer=layer, head=head, heading=(sentence, translation.text))
    if json_ is not None:
        _write_json(json_, {"text": sentence, "translation": translation.text, "to": to, **record.to_json()})
    console = Console(highlight=False, markup=False)
    console.print(translation.text, soft_wrap=True)
    console.print(
        f"\nCross-attention, mean of all {'layers and heads' if layer is None else f'heads of layer {layer}'}"
    )
    console.print(_cross_table(record, layer))
    console.print(f"\nEncoder self-attention, layer {drawing.layer}, head {drawing.head}: the strongest links")
    console.print(_head_table(record, drawing))
    console.print()
    if drawing.missing:
        console.print(
            "no installed font has " + " ".join(sorted(drawing.missing)) + ": the picture shows boxes for them"
        )
    console.print(f"the picture: {out}", soft_wrap=True)
    if json_ is not None:
        console.print(f"the weights: {json_}", soft_wrap=True)


def _cross_table(record: "AttentionRecord", layer: int | None) -> "Table":
    """The source words behind each word of the translation."""
    cross = record.map("decoder", "cross", layer)
    table = _table("translation", "looked at")
    for row, token in enumerate(cross.queries):
        if token.is_word:
            first, *others = cross.top(row, 2)
            links = [first, *(link for link in others if link.weight >= _FAINT)]
            table.add_row(*_cells(token.text, ", ".join(f"{link.key.text} {link.weight:.0%}" for link in links)))
    return table


def _head_table(record: "AttentionRecord", drawing: "Drawing") -> "Table":
    """The strongest links in the encoder head of the picture."""
    table = _table("word", "looked at")
    for link in record.map("encoder", "self", drawing.layer, drawing.head).strongest(_LINKS):
        table.add_row(*_cells(link.query.text, f"{link.key.text} {link.weight:.0%}"))
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="dim")


def _cells(*texts: str) -> "list[Text]":
    """Text that is neither taken for markup nor moves the cursor."""
    from rich.text import Text

    from qkv.figures.fonts import printable

    return [Text(printable(text)) for text in texts]
