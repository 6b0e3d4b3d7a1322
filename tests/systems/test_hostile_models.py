"""Model directories that are not what they say: of every system, read or refused in one line, without their memory."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import qkv
from qkv.errors import QkvError
from qkv.systems.registry import systems
from tiny import tiny_translator
from tiny_codes import tiny_codes
from tiny_painter import tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import tiny_vit

MAKERS: dict[str, Callable[[Path], object]] = {
    "translator": tiny_translator,
    "classifier": tiny_vit,
    "codes": tiny_codes,
    "painter": tiny_painter,
    "scorer": tiny_scorer,
}


@pytest.fixture(scope="module", params=MAKERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile") / request.param
    MAKERS[request.param](place)
    return place


def _numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where numbers stand in nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _numbers(item, (*path, name))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def _with(config: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    section = changed
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    return changed


def test_every_system_is_here() -> None:
    assert MAKERS.keys() == {system.name for system in systems()}


def test_sizes_are_not_believed(folder: Path) -> None:
    """None of these fits the weights, or is a number; what has other bounds, such as a mean, may load."""
    file = folder / "config.json"
    good = file.read_text()
    config = json.loads(good)
    refused = 0
    try:
        for path in _numbers({name: value for name, value in config.items() if name != "format"}):
            for value in (10**9, 2**40, 10**30, -1, True, math.nan, [1], "x" * 10**5):
                file.write_text(json.dumps(_with(config, path, value)))
                try:
                    qkv.load(folder)
                except QkvError as error:
                    refused += 1
                    assert "\n" not in str(error) and len(str(error)) < 600
                else:
                    assert value in (-1, 10**9, 2**40), (path, value)
    finally:
        file.write_text(good)
    assert refused > 50


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(folder: Path, number: float) -> None:
    """With or without a checksum."""
    file = folder / "model.safetensors"
    good, weights = file.read_bytes(), load_file(file)
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name] = weights[name].clone()
    weights[name].view(-1)[1] = number
    try:
        save_file(weights, file)
        with pytest.raises(QkvError, match=f"{name} holds numbers that are infinite or none"):
            qkv.load(folder)
    finally:
        file.write_bytes(good)


def test_a_classifier_whose_numbers_overflow_says_so(tmp_path: Path) -> None:
    weights = load_file(tiny_vit(tmp_path / "m") / "model.safetensors")
    save_file(
        {name: torch.full_like(weight, 3e38) for name, weight in weights.items()}, tmp_path / "m/model.safetensors"
    )
    with pytest.raises(QkvError, match="logits are not numbers"):
        qkv.load(tmp_path / "m").classify(np.zeros((8, 8, 3), np.uint8))
