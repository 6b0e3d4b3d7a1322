"""The plan that `qkv train DATA` announces is what it then trains, whatever `--set` changes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qkv.cli import train
from qkv.systems.recipe import Recipe
from qkv.systems.registry import SYSTEMS
from reporters import listening
from tiny import lines
from tiny_codes import tiny_codes

PICTURES = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, train._Request]:
    """Data for each system, as the command line names it."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for number in range(PICTURES):
        file = folder / "pictures" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
        file.with_suffix(".txt").write_text(f"picture {number}\n")
    pairs = "".join(f"{one}\t{other}\n" for one, other in zip(lines("en"), lines("de")))
    (folder / "pairs.tsv").write_text(pairs)
    (folder / "few.tsv").write_text("".join(pairs.splitlines(keepends=True)[:10]))
    pictures = str(folder / "pictures")
    options = {"painter": {"codes": str(tiny_codes(folder / "codes"))}}
    requests = {name: train._Request(pictures, system=name, options=options.get(name, {})) for name in SYSTEMS}
    named = {"from": "en", "to": "de"}
    return {**requests, "translator": train._Request(str(folder / "pairs.tsv"), system="translator", options=named)}


def planned(request: train._Request, *assignments: str) -> tuple[str, Recipe]:
    """What is announced, and the recipe."""
    reporter, said = listening(1000)
    changed = train._Request(
        request.what, system=request.system, options=request.options, assignments=list(assignments)
    )
    _, recipe = train._new_run(changed, reporter)  # type: ignore[arg-type]
    return said.getvalue().splitlines()[0], recipe


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "assignments",
    [
        (),
        ("training.max_steps=70",),
        ("training.max_steps=4000", "training.accumulate=2"),
        ("training.accumulate=1",),
    ],
)
def test_steps_batches_and_epochs_are_those_of_the_recipe(
    data: dict[str, train._Request], system: str, assignments: tuple[str, ...]
) -> None:
    said, recipe = planned(data[system], *assignments)
    training, sizes = recipe.training, recipe.task.data
    each = sizes.batch_tokens if system == "translator" else sizes.batch_size
    found = re.search(r"([\d,]+) steps of ([\d,]+) (tokens|pictures|pairs) \((?:about )?([\d,.]+) epochs\)", said)
    assert found, said
    steps, batch, epochs = (float(found[n].replace(",", "")) for n in (1, 2, 4))
    assert (steps, batch) == (training.max_steps, each * training.accumulate)
    if system != "translator":  # whose tokens nobody has counted yet
        assert epochs == pytest.approx(steps * batch / PICTURES, abs=0.5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_depends_on_the_steps_follows_the_number_that_is_asked_for(
    data: dict[str, train._Request], system: str
) -> None:
    _, plan = planned(data[system])
    _, short = planned(data[system], "training.max_steps=70")
    assert short.training.max_steps == 70 < plan.training.max_steps
    assert short.training.warmup <= 70 // 8 < plan.training.warmup
    assert short.training.validate_every < 70
    assert short.training.ema <= plan.training.ema
    _, own = planned(data[system], "training.max_steps=70", "training.warmup=33", "training.validate_every=9")
    assert (own.training.warmup, own.training.validate_every) == (33, 9)


@pytest.mark.parametrize(
    ("system", "assignment", "words"),
    [
        ("translator", "model.n_layers=2", "2+2 layers"),
        ("translator", "model.d_model=64", "of width 64"),
        ("translator", "tokenizer.vocabulary=321", "up to 321,"),
        ("translator", "model.dropout=0.45", "dropout 0.45"),
        ("translator", "data.batch_tokens=100", "steps of 400 tokens"),
        ("classifier", "model.image_size=56", "56 x 56 pixels"),
        ("classifier", "model.n_layers=2", "2 layers"),
        ("classifier", "data.batch_size=5", "steps of 20 pictures"),
        ("codes", "model.codes=99", "codes of 99"),
        ("painter", "model.n_layers=3", "3 layers"),
        ("scorer", "model.text.n_layers=5", "5 layers"),
        ("scorer", "data.batch_size=5", "each told from 5"),
    ],
)
def test_sizes_are_those_of_the_recipe(
    data: dict[str, train._Request], system: str, assignment: str, words: str
) -> None:
    assert words not in planned(data[system])[0]
    assert words in planned(data[system], assignment)[0]


def test_other_data_is_measured(data: dict[str, train._Request]) -> None:
    few = Path(data["translator"].what).with_name("few.tsv")
    said, recipe = planned(data["translator"], f"data.train=[{{table: {few}, columns: [en, de]}}]")
    assert said.startswith("10 pairs: ") and recipe.task.data.train[0].table == str(few)
