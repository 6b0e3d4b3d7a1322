"""`qkv train` without a recipe: one that suits the data."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.data.captions.sources import CaptionSource
    from qkv.data.pictures.sources import PictureSource
    from qkv.reporter import Reporter
    from qkv.systems.suggestion import Suggestion

Source = TypeVar("Source", "PictureSource", "CaptionSource")
Found = TypeVar("Found")

_TAKEN_FOR_GRANTED = {"caption": "captions", "image": "image_column", "label": "label_column"}
"""Columns that a table has unless the field of its source says otherwise."""


def recipe_for_pairs(data: list[Path], from_: str, to: str, initial: str, reporter: "Reporter") -> dict[str, Any]:
    """The recipe that suits bare text; says why.

    Raises:
        QkvError: something is missing, or the text cannot be read.
    """
    import torch

    from qkv.data.parallel.measure import measure
    from qkv.model_directory import read_config
    from qkv.runs.run import find_initial
    from qkv.systems.translator.suggest import suggest

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
    reporter.say(suggestion.reason)
    return {"system": "translator", **suggestion.sections, "data": {"train": [corpus], **suggestion.sections["data"]}}


def recipe_for_pictures(
    system: str, data: Path, initial: str, assignments: list[str], reporter: "Reporter"
) -> dict[str, Any]:
    """The recipe that suits a set of pictures; says why.

    Args:
        system: "vit" for a classifier, "dvae" for codes.
        data: where they are.
        initial: a model of this system to start from; none if empty.
        assignments: `section.field=value`; one to `data.train` says more of where they are.
        reporter: where the reason is shown.

    Raises:
        QkvError: the pictures cannot be found, or none can be read.
    """
    from qkv.data.pictures.measure import Measure, measure
    from qkv.data.pictures.sources import PictureSource
    from qkv.systems.classifier.suggest import suggest_classifier
    from qkv.systems.codes.suggest import suggest_codes

    sources = _sources(PictureSource, data, assignments)
    how = _hardware_and_initial(system, initial)
    labelled = system == "vit"
    found = Measure.joined([_measured(source, partial(measure, source, labelled, reporter)) for source in sources])
    suggest = suggest_classifier if labelled else suggest_codes
    return _recipe(system, sources, suggest(found.pictures, found.side, found.channels, **how), reporter)


def recipe_for_painter(
    data: Path, codes: str, initial: str, assignments: list[str], reporter: "Reporter"
) -> dict[str, Any]:
    """The recipe of a painter that suits a set of captioned pictures; says why.

    Args:
        data: where they are.
        codes: the discrete VAE: a model folder or a run.
        initial: a painter to start from; none if empty.
        assignments: `section.field=value`; one to `data.train` says more of where they are.
        reporter: where the reason is shown.

    Raises:
        QkvError: there is no discrete VAE yet, or the pictures or their captions cannot be found.
    """
    from qkv.cli.naming import check_system
    from qkv.data.captions.measure import CaptionMeasure, measure_captions
    from qkv.data.captions.sources import CaptionSource
    from qkv.model_directory import find_model, read_config
    from qkv.systems.painter.suggest import suggest_painter

    sources, first = _sources(CaptionSource, data, assignments), f"qkv train {data} --system dvae --out CODES"
    if not codes:
        raise QkvError(f"a painter needs --codes, the codes that it draws with; train them first: {first}")
    check_system(codes, "dvae", "make codes of pictures", f"train one that can: {first}")
    how = _hardware_and_initial("dalle", initial)
    measured = [_measured(source, partial(measure_captions, source, reporter)) for source in sources]
    found = CaptionMeasure.joined(measured)
    suggestion = suggest_painter(found.pictures, found.longest, read_config(find_model(codes)), **how)
    return {"codes": codes, **_recipe("dalle", sources, suggestion, reporter)}


def recipe_for_scorer(data: Path, initial: str, assignments: list[str], reporter: "Reporter") -> dict[str, Any]:
    """The recipe of a scorer that suits a set of captioned pictures; says why.

    Args:
        data: where they are.
        initial: a scorer to start from; none if empty.
        assignments: `section.field=value`; one to `data.train` says more of where they are.
        reporter: where the reason is shown.

    Raises:
        QkvError: the pictures or their captions cannot be found, or none can be read.
    """
    from qkv.data.captions.measure import CaptionMeasure, measure_captions
    from qkv.data.captions.sources import CaptionSource
    from qkv.systems.scorer.suggest import suggest_scorer

    sources = _sources(CaptionSource, data, assignments)
    how = _hardware_and_initial("clip", initial)
    measured = [_measured(source, partial(measure_captions, source, reporter)) for source in sources]
    found = CaptionMeasure.joined(measured)
    suggestion = suggest_scorer(found.pictures, found.side, found.channels, found.longest, **how)
    return _recipe("clip", sources, suggestion, reporter)


def _hardware_and_initial(system: str, initial: str) -> dict[str, Any]:
    """What every suggestion depends on besides the data, by the names of its arguments."""
    import torch

    from qkv.model_directory import read_config
    from qkv.runs.run import find_initial

    model = read_config(find_initial(initial, system)) if initial else None
    return {"on_accelerator": torch.accelerator.is_available(), "initial": model}


def _sources(kind: type[Source], data: Path, assignments: list[str]) -> list[Source]:
    """What to train on: what the command line means, or what it says of it with `--set data.train=[...]`."""
    from qkv.config import assign, parse

    said = [assignment for assignment in assignments if assignment.startswith("data.train=")]
    given = assign({}, said)["data"]["train"] if said else None
    corpora = given if isinstance(given, list) else []  # what else it may be, the recipe refuses
    return [parse(kind, corpus, "--set data.train") for corpus in corpora] or [kind.of(data)]


def _measured(source: "PictureSource | CaptionSource", measure: Callable[[], Found]) -> Found:
    """What measuring a source finds; where it lacks a column that nobody named, the error says how to name it."""
    from qkv.data.table import MissingColumn

    try:
        return measure()
    except MissingColumn as error:
        given = {field.name: getattr(source, field.name) for field in fields(source)
                 if getattr(source, field.name) != field.default}  # fmt: skip
        name = _TAKEN_FOR_GRANTED.get(error.column)
        if name is None or name in given:
            raise
        form: dict[str, Any] = {
            "default_flow_style": True,
            "sort_keys": False,
            "allow_unicode": True,
            "width": math.inf,
        }
        corpora = yaml.safe_dump([{**given, name: "COLUMN"}], **form).strip()
        raise QkvError(
            f"{error.said}, but {', '.join(error.known)}: name the one that stands for it, with "
            f"--set {shlex.quote(f'data.train={corpora}')}"
        ) from None


def _recipe(
    system: str,
    sources: "Sequence[PictureSource | CaptionSource]",
    suggestion: "Suggestion",
    reporter: "Reporter",
) -> dict[str, Any]:
    """A suggestion with the corpus that it is for; says why."""
    reporter.say(suggestion.reason)
    corpora = [{name: value for name, value in asdict(source).items() if value is not None} for source in sources]
    return {"system": system, **suggestion.sections, "data": {"train": corpora, **suggestion.sections["data"]}}
