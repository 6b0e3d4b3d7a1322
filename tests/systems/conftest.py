from pathlib import Path

import pytest

import qkv
from qkv.systems.translator.pipeline import Translator
from tiny import tiny_translator


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    return tiny_translator(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def translator(model_folder) -> Translator:
    return qkv.load(model_folder)
