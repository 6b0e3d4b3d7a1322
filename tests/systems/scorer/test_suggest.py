"""Suggestions for scorers: valid for any number and size of pictures, and kept sizes of a trained model."""

from dataclasses import replace

import pytest

from qkv.config import parse
from qkv.data.captions.measure import CaptionMeasure
from qkv.systems.scorer.saved import Saved
from qkv.systems.scorer.suggest import reason, sizes
from qkv.systems.scorer.task import ScorerConfig
from qkv.train.config import TrainingConfig


def scorer(
    pictures: int, side: int, channels: int, longest: int, **options
) -> tuple[ScorerConfig, TrainingConfig, str]:
    found = CaptionMeasure(pictures, side, channels, longest)
    sections = sizes(found, **options)
    training = parse(TrainingConfig, sections.pop("training"), "test")
    sections["data"] = {"train": [{"folder": "x"}], **sections["data"]}
    config = parse(ScorerConfig, sections, "test")
    return config, training, reason(found, config, training)


@pytest.mark.parametrize("pictures", [10, 3_001, 50_000, 10**6])
@pytest.mark.parametrize("side", [1, 28, 32, 100, 500])
@pytest.mark.parametrize("on_accelerator", [False, True])
def test_suggestions_are_valid(pictures: int, side: int, on_accelerator: bool) -> None:
    for channels, longest in ((1, 1), (3, 40), (3, 100_000)):
        config, training, said = scorer(pictures, side, channels, longest, on_accelerator=on_accelerator)
        assert config.model.image.channels == channels
        assert min(side, 64) <= config.model.image.image_size <= max(28, 2 * side)
        assert min(longest // 2, 256) <= config.data.text_length <= 256
        assert (training.accumulate == 1) == on_accelerator
        assert training.accumulate * config.data.batch_size >= 256  # whatever it is shared among
        assert said.startswith(f"{pictures:,} pictures, mostly {side} pixels wide or high: read at")
        assert f"each told from {config.data.batch_size}" in said


def test_more_pictures_are_given_larger_models_and_fewer_epochs() -> None:
    (few, short, _), (many, long, _) = (scorer(n, 32, 3, 40) for n in (1_000, 100_000))
    assert few.model.image.d_model < many.model.image.d_model
    assert few.model.image.dropout > many.model.image.dropout
    assert few.tokenizer.vocabulary < many.tokenizer.vocabulary
    shown = [steps * config.data.batch_size / n for config, steps, n in
             ((few, short.max_steps, 1_000), (many, long.max_steps, 100_000))]  # fmt: skip
    assert shown[0] > shown[1]


def test_a_suggestion_for_a_trained_model_keeps_its_sizes() -> None:
    first, training, _ = scorer(10_000, 32, 3, 40)
    preprocessing = replace(first.preprocessing, resize="squash")
    saved = Saved(model=first.model, vocabulary=777, preprocessing=preprocessing)
    tuned, shorter, _ = scorer(200, 500, 1, 900, initial=saved)
    assert (tuned.model, tuned.resize, tuned.tokenizer.vocabulary) == (first.model, "squash", 777)
    assert shorter.max_steps < training.max_steps and shorter.learning_rate < training.learning_rate
