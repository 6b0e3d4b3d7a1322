"""Recipes that the user did not write, and those that cannot be meant."""

import datetime
from pathlib import Path

import pytest

from qkv.errors import QkvError
from qkv.reporter import SILENT
from qkv.runs.run import open_run
from qkv.systems.recipe import Recipe
from qkv.train.distributed import World

SUGGESTION = {
    "system": "dvae",
    "data": {"train": [{"folder": "pictures"}]},
    "model": {"quantiser": "vq", "reconstruction": "mse", "image_size": 64},
    "training": {"max_steps": 3000, "warmup": 300},
}


@pytest.mark.parametrize(
    "assignment", ["training=5", "training={}", "training=[1]", "training.max_steps=[1]", "model="]
)
def test_a_suggestion_whose_sections_are_replaced_by_anything_is_read_or_refused(assignment: str) -> None:
    try:
        Recipe.suggested(SUGGESTION, [assignment])
    except QkvError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("seed", value) for value in (2**40, 10**30, -1, True, 1.5, "1", [1], None, float("nan"))),
        *(("initial", value) for value in (3, [1], {"a": 1}, datetime.date(2020, 1, 1))),
        *(("system", value) for value in (datetime.date(2020, 1, 1), ["codes"], {"codes": 1}, None, "x" * 10**6)),
        *(("training", value) for value in ("hello", None, [1], 5, {"max_steps": {}})),
        *(("data", value) for value in ([1], None, {}, {"train": 5}, {"train": []}, {"train": [[1]]}, {"train": None})),
        *(("model", value) for value in ([1], None, "x", {"codes": datetime.date(2020, 1, 1)})),
    ],
)
def test_fields_of_any_type_are_read_or_refused_in_one_short_line(field: str, value: object) -> None:
    with pytest.raises(QkvError) as caught:
        Recipe.from_mapping({**SUGGESTION, field: value}, "r.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "assignment",
    [
        *(f"training.{name}=.nan" for name in ("learning_rate", "beta1", "clip_norm", "ema", "weight_decay")),
        *(f"training.{name}=.inf" for name in ("learning_rate", "beta1", "clip_norm", "ema", "weight_decay")),
        *(f"training.{name}=-1" for name in ("learning_rate", "warmup", "patience", "workers", "beta2", "layer_decay")),
        *(f"training.{name}=0" for name in ("max_steps", "accumulate", "validate_every", "keep_best", "log_every")),
        "training.max_steps=1000000000000",
        "training.accumulate=1000000000000",
        "training.workers=1000000000",
        "data.batch_size=1000000000000",
        "data.holdout=.nan",
        "data.augmentation.pad=1000000000000",
        "data.augmentation.rand_augment=1000000000000",
        "model.codes=1000000000000",
        "model.image_size=1000000000",
        "crop=0.000001",
        "temperature=.nan",
    ],
)
def test_values_that_no_training_can_have_are_refused(assignment: str) -> None:
    with pytest.raises(QkvError, match=r"^r\.yaml: ") as caught:
        Recipe.from_mapping(SUGGESTION, "r.yaml", [assignment])
    assert "\n" not in str(caught.value)


def test_the_largest_seed_trains_to_the_largest_step() -> None:
    """The seed of a step is put together as the trainer does; PyTorch takes 64 bits."""
    import torch

    recipe = Recipe.from_mapping({**SUGGESTION, "seed": 2**32 - 1}, "r.yaml", ["training.max_steps=16777215"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((recipe.seed << 32) + (recipe.training.max_steps << 8) + 255)
        assert torch.initial_seed() == (recipe.seed << 32) + (recipe.training.max_steps << 8) + 255


def test_a_recipe_written_with_hostile_text_is_read_back(tmp_path: Path) -> None:
    text = "a: &x [\x07 \u2028 'b' \"c\" #d"
    recipe = Recipe.from_mapping({**SUGGESTION, "data": {"train": [{"folder": text}]}}, "r.yaml")
    recipe.write(tmp_path / "r.yaml")
    assert Recipe.read(tmp_path / "r.yaml") == recipe


@pytest.mark.parametrize(
    "source",
    [
        {"folder": "K\udce4se"},
        {"table": "K\udce4se.csv"},
        {"shards": ["a", "\udcff"]},
        {"table": "t.csv", "image_column": "\udcff"},
        {"table": "t.csv", "where": {"\udcff": "x"}},
    ],
)
def test_names_that_are_no_utf8_are_refused_before_training(source: dict[str, object]) -> None:
    """As Python has names of files and arguments with bytes that are no UTF-8."""
    data = {**SUGGESTION, "data": {"train": [source]}}
    with pytest.raises(QkvError, match=r"^the suggestion: .* is not UTF-8, which a name in a recipe must be: rename"):
        Recipe.suggested(data, [])


def test_a_run_with_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match="is not UTF-8, which the name of a run must be: choose another --out"):
        open_run(tmp_path / "run\udcff", Recipe.suggested(SUGGESTION, []), SILENT, World())
    assert not list(tmp_path.iterdir())
