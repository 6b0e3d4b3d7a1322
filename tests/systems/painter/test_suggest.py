"""Suggestions for codes and painters: valid for any number and size of pictures, and kept sizes of a trained model."""

from dataclasses import asdict, replace

import pytest

from qkv.config import parse
from qkv.data.captions.measure import CaptionMeasure
from qkv.data.pictures.measure import Measure
from qkv.systems.codes.saved import Saved as SavedCodes
from qkv.systems.codes.suggest import reason as why_codes
from qkv.systems.codes.suggest import sizes as code_sizes
from qkv.systems.codes.task import CodesConfig
from qkv.systems.painter.saved import Saved
from qkv.systems.painter.suggest import reason as why_painter
from qkv.systems.painter.suggest import sizes as painter_sizes
from qkv.systems.painter.task import PainterConfig
from qkv.train.config import TrainingConfig


def codes(pictures: int, side: int, channels: int, **options) -> tuple[CodesConfig, TrainingConfig, str]:
    found = Measure(pictures, side, channels)
    sections = code_sizes(found, **options)
    training = parse(TrainingConfig, sections.pop("training"), "test")
    sections["data"] = {"train": [{"folder": "x"}], **sections["data"]}
    config = parse(CodesConfig, sections, "test")
    return config, training, why_codes(found, config, training)


def painter(pictures: int, longest: int, grid: int, **options) -> tuple[PainterConfig, TrainingConfig, str]:
    found = CaptionMeasure(pictures, 32, 3, longest)
    sections = painter_sizes(found, grid, **options)
    training = parse(TrainingConfig, sections.pop("training"), "test")
    sections["data"] = {"train": [{"folder": "x"}], **sections["data"]}
    config = parse(PainterConfig, {"codes": "x", **sections}, "test")
    return config, training, why_painter(found, config, training)


@pytest.mark.parametrize("pictures", [10, 3_001, 50_000, 10**6])
@pytest.mark.parametrize("side", [1, 28, 32, 100, 500])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("on_accelerator", [False, True])
def test_suggestions_are_valid(pictures: int, side: int, channels: int, on_accelerator: bool) -> None:
    config, training, reason = codes(pictures, side, channels, on_accelerator=on_accelerator)
    assert config.model.channels == channels
    assert 7 <= config.model.grid <= 32
    assert (training.accumulate == 1) == on_accelerator
    assert reason.startswith(f"{pictures:,} pictures, mostly {side} pixels wide or high: read at")

    for longest in (1, 40, 100_000):
        drawing, _, reason = painter(pictures, longest, config.model.grid, on_accelerator=on_accelerator)
        assert drawing.model.grid == config.model.grid
        assert min(longest // 2, 256) <= drawing.model.text_length <= 256
        assert reason.startswith(f"{pictures:,} pictures, {config.model.grid} x {config.model.grid} codes each")


def test_more_pictures_are_given_larger_models() -> None:
    few, many = (codes(n, 32, 3)[0].model for n in (100, 10_000))
    assert few.codes < many.codes
    assert painter(100, 40, few.grid)[0].model.d_model < painter(10_000, 40, few.grid)[0].model.d_model


def test_a_suggestion_for_a_trained_model_keeps_its_sizes() -> None:
    first, training, _ = codes(10_000, 32, 3)
    saved = SavedCodes(model=first.model, preprocessing=replace(first.preprocessing, resize="squash"))
    tuned, shorter, _ = codes(10_000, 500, 1, initial=saved)
    assert tuned.model == first.model and tuned.resize == "squash"
    assert shorter.max_steps < training.max_steps
    assert tuned.penalty_warmup == 0
    gumbel = replace(saved, model=replace(first.model, quantiser="gumbel", reconstruction="logit_laplace"))
    cooling, training, _ = codes(10_000, 32, 3, initial=gumbel)
    assert 0 < cooling.penalty_warmup < cooling.temperature_steps < training.max_steps

    drawing, training, _ = painter(10_000, 40, 8)
    initial = Saved(model=drawing.model, vocabulary=777, dvae=first.model, preprocessing=first.preprocessing)
    again, shorter, _ = painter(100, 900, 8, initial=initial)
    assert {**asdict(again.model), "dropout": 0} == {**asdict(drawing.model), "dropout": 0}
    assert again.tokenizer.vocabulary == 777 and again.data.text_length == drawing.data.text_length
    assert shorter.learning_rate < training.learning_rate
