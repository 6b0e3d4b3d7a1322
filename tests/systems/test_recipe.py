"""Recipes that the user did not write, and names that none can hold."""

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


def test_a_shortened_suggestion_warms_up_in_fewer_steps() -> None:
    def warmup(*assignments: str) -> int:
        return Recipe.suggested(SUGGESTION, assignments).training.warmup

    assert warmup() == 300
    assert warmup("training.max_steps=20") == 2
    assert warmup("training.max_steps=20", "training.warmup=7") == 7
    assert warmup("training.max_steps=90000") == 300


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
