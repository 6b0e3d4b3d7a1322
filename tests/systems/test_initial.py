"""Training that starts from a trained translator."""

from pathlib import Path

import pytest
import torch
from tests.tiny import lines, tiny_translator

from qkv.config import parse
from qkv.errors import QkvError
from qkv.model_directory import read_config, read_weights
from qkv.models.weights import get_weights
from qkv.systems.translator.task import TranslatorTask, TranslatorTaskConfig
from qkv.train.task import Setting

SIZES = {"d_model": 16, "n_heads": 2, "n_layers": 1, "d_ff": 32, "tie_embeddings": False}


def create(tmp_path: Path, initial: Path, **sections: dict) -> TranslatorTask:
    for language in ("en", "de"):
        (tmp_path / language).write_text("\n".join(lines(language)), encoding="utf-8")
    files = {language: str(tmp_path / language) for language in ("en", "de")}
    corpus = {"files": files, "directions": ["en-de"]}
    data = {"train": [corpus], "batch_tokens": 300, "holdout": 5}
    sections = {"data": data, "tokenizer": {"vocabulary": 400}, "model": SIZES, **sections}
    config = parse(TranslatorTaskConfig, sections, "test")
    return TranslatorTask.create(config, Setting(folder=tmp_path / "run", initial=initial))


def test_weights_and_tokenizer_are_the_initial_model_s_and_directions_those_of_the_data(tmp_path: Path) -> None:
    initial = tiny_translator(tmp_path / "tiny")
    task = create(tmp_path, initial, model={**SIZES, "dropout": 0.4})
    saved = read_weights(initial)
    weights = get_weights(task.model)
    assert weights.keys() == saved.keys()
    assert all(torch.equal(weights[name], saved[name]) for name in saved)
    assert task.data.codec.source.to_bytes() == (initial / "tokenizer.model").read_bytes()
    assert task.model.config.dropout == 0.4

    task.export(tmp_path / "out", weights, {"step": 1, "hours": 0.0, "validation": {"bleu": 1.0}})
    config = read_config(tmp_path / "out")
    assert config["directions"] == [["en", "de"]]
    assert config["target_tags"] is True  # without its tag the model would not know what to do


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {**SIZES, "n_layers": 2}}, "model.n_layers is 2, but the initial model's is 1"),
        ({"model": {**SIZES, "norm": "post"}}, "model.norm is 'post', but the initial model's is 'pre'"),
        ({"tokenizer": {"vocabulary": 500}}, "tokenizer.vocabulary is 500, but the initial model's is 400"),
    ],
)
def test_other_sizes_are_refused_by_name(tmp_path: Path, sections: dict, message: str) -> None:
    with pytest.raises(QkvError, match=message):
        create(tmp_path, tiny_translator(tmp_path / "tiny"), **sections)
