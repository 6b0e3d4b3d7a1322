"""`qkv train` without a recipe: one that suits the data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qkv.errors import QkvError

if TYPE_CHECKING:
    from rich.console import Console


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


def recipe_for_pictures(data: Path, initial: str, console: "Console") -> dict[str, Any]:
    """The recipe that suits a set of pictures; says why.

    Raises:
        QkvError: the pictures cannot be found, or none can be read.
    """
    from dataclasses import asdict

    import torch

    from qkv.data.image_data import measure
    from qkv.data.pictures import PictureSource
    from qkv.model_directory import read_config
    from qkv.tasks.picture_suggestion import suggest_classifier
    from qkv.train.run import find_initial

    source = PictureSource.of(data)
    model = read_config(find_initial(initial, "vit")) if initial else None
    found = measure(source)
    suggestion = suggest_classifier(
        found.pictures, found.side, found.channels, on_accelerator=torch.accelerator.is_available(), initial=model
    )
    console.print(suggestion.reason, highlight=False)
    corpus = {name: value for name, value in asdict(source).items() if value is not None}
    return {"system": "vit", **suggestion.sections, "data": {"train": [corpus], **suggestion.sections["data"]}}
