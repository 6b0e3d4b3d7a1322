"""`qkv train` without a recipe: one that suits the data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qkv.errors import QkvError

if TYPE_CHECKING:
    from rich.console import Console

    from qkv.data.caption_sources import CaptionSource
    from qkv.data.pictures import PictureSource
    from qkv.tasks.suggestion import Suggestion


def recipe_for_pairs(data: list[Path], from_: str, to: str, initial: str, console: "Console") -> dict[str, Any]:
    """The recipe that suits bare text; says why.

    Raises:
        QkvError: something is missing, or the text cannot be read.
    """
    import torch

    from qkv.data.parallel import measure
    from qkv.model_directory import read_config
    from qkv.tasks.suggestion import suggest
    from qkv.train.run import find_initial

    if not data:
        raise QkvError("nothing to train on: give a recipe, a run, or --data FILE --from LANGUAGE --to LANGUAGE")
    if not from_ or not to:
        raise QkvError(f"--data {data[0]} needs --from and --to, such as --from en --to ko")
    if len(data) > 2:
        raise QkvError(f"--data takes one table or two line-aligned files, not {len(data)}; use a recipe for more")
    corpus: dict[str, Any] = {"directions": [f"{from_}-{to}"]}
    if len(data) == 2:
        corpus["files"] = {from_: str(data[0]), to: str(data[1])}
    else:
        corpus |= {"table": str(data[0]), "columns": [from_, to]}
    model = read_config(find_initial(initial, "translator")) if initial else None
    suggestion = suggest(*measure(corpus), on_accelerator=torch.accelerator.is_available(), initial=model)
    console.print(suggestion.reason, highlight=False)
    return {"system": "translator", **suggestion.sections, "data": {"train": [corpus], **suggestion.sections["data"]}}


def recipe_for_pictures(system: str, data: Path, initial: str, console: "Console") -> dict[str, Any]:
    """The recipe that suits a set of pictures; says why.

    Args:
        system: "vit" for a classifier, "dvae" for codes.
        data: where they are.
        initial: a model of this system to start from; none if empty.
        console: where the reason is shown.

    Raises:
        QkvError: the pictures cannot be found, or none can be read.
    """
    import torch

    from qkv.data.image_data import measure
    from qkv.data.pictures import PictureSource
    from qkv.model_directory import read_config
    from qkv.tasks.painting_suggestion import suggest_codes
    from qkv.tasks.picture_suggestion import suggest_classifier
    from qkv.train.run import find_initial

    source = PictureSource.of(data)
    model = read_config(find_initial(initial, system)) if initial else None
    found = measure(source, labelled=system == "vit")
    suggestion = (suggest_classifier if system == "vit" else suggest_codes)(
        found.pictures, found.side, found.channels, on_accelerator=torch.accelerator.is_available(), initial=model
    )
    console.print(suggestion.reason, highlight=False)
    return _recipe(system, source, suggestion)


def recipe_for_captions(data: Path, codes: str, initial: str, console: "Console") -> dict[str, Any]:
    """The recipe of a painter that suits a set of captioned pictures; says why.

    Args:
        data: where they are.
        codes: the discrete VAE: a model folder or a run.
        initial: a painter to start from; none if empty.
        console: where the reason is shown.

    Raises:
        QkvError: there is no discrete VAE yet, or the pictures or their captions cannot be found.
    """
    import torch

    from qkv.cli.system import check_system
    from qkv.data.caption_readers import measure_captions
    from qkv.data.caption_sources import CaptionSource
    from qkv.model_directory import find_model, read_config
    from qkv.tasks.painting_suggestion import suggest_painter
    from qkv.train.run import find_initial

    source, first = CaptionSource.of(data), f"qkv train {data} --system dvae --out CODES"
    if not codes:
        raise QkvError(f"a painter needs --codes, the codes that it draws with; train them first: {first}")
    check_system(codes, "dvae", "make codes of pictures", f"train one that can: {first}")
    model = read_config(find_initial(initial, "dalle")) if initial else None
    suggestion = suggest_painter(
        *measure_captions(source, console),
        read_config(find_model(codes)),
        on_accelerator=torch.accelerator.is_available(),
        initial=model,
    )
    console.print(suggestion.reason, highlight=False)
    return {"codes": codes, **_recipe("dalle", source, suggestion)}


def _recipe(system: str, source: "PictureSource | CaptionSource", suggestion: "Suggestion") -> dict[str, Any]:
    """A suggestion with the corpus that it is for."""
    from dataclasses import asdict

    corpus = {name: value for name, value in asdict(source).items() if value is not None}
    return {"system": system, **suggestion.sections, "data": {"train": [corpus], **suggestion.sections["data"]}}
