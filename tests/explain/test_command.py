"""`qkv explain` from end to end with a tiny random model."""

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from qkv.data.parallel.vocabulary import Codec
from qkv.errors import QkvError
from qkv.model_directory import save_model
from qkv.models.translator import TranslatorModel
from qkv.models.weights import get_weights
from qkv.systems.translator.saved import Saved
from qkv.systems.translator.verbs import explain

SENTENCE = "Two [red]dogs[/red]."


@pytest.fixture(scope="module")
def folder(model: TranslatorModel, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain") / "model"
    save_model(folder, Saved.of(model.config, codec, 30), get_weights(model), codec.files())
    return folder


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(explain)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_it_prints_translation_links_and_where_the_files_are(folder: Path, tmp_path: Path):
    out, data = tmp_path / "a.png", tmp_path / "a.json"
    output = run(
        folder, SENTENCE, "--to", "de", "--from", "en", "--out", out, "--json", data, "--layer", 2, "--head", 3
    )
    written = json.loads(data.read_text(encoding="utf-8"))
    assert output.splitlines()[0].split() == written["translation"].split()
    assert "self-attention, layer 2, head 3" in output and "mean of all heads of layer 2" in output
    assert str(out) in output and str(data) in output
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (written["text"], written["to"]) == (SENTENCE, "de")
    assert written["source"] == ["<2de>", "Two", "[", "red]dogs[/red", "].", "<end>"]
    weights = torch.tensor(written["attention"][0]["weights"])
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:2]), atol=1e-4, rtol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png"]


def test_pieces_stay_apart_on_request(folder: Path, tmp_path: Path, codec: Codec):
    data = tmp_path / "a.json"
    run(folder, SENTENCE, "--to", "de", "--out", tmp_path / "a.png", "--json", data, "--pieces")
    pieces = codec.source.pieces(codec.source.encode([SENTENCE])[0])
    assert json.loads(data.read_text(encoding="utf-8"))["source"] == ["<2de>", *pieces, "<end>"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([SENTENCE, "--layer", 3], "there is no decoder layer 3: choose from 1 to 2"),
        ([SENTENCE, "--head", 0], "there is no attention head 0: choose from 1 to 4"),
        (["  "], "nothing to explain"),
        (["dogs " * 30], "the 30 pieces"),
        ([SENTENCE, "--from", "de"], "in 'de' already"),
    ],
)
def test_errors_are_one_line_and_leave_no_files(arguments: list[object], says: str, folder: Path, tmp_path: Path):
    with pytest.raises(QkvError, match=says) as error:
        run(folder, *arguments, "--to", "de", "--out", tmp_path / "a.png", "--json", tmp_path / "a.json")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_json_file_is_one_line(folder: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(QkvError, match=r"cannot write .*a\.json"):
        run(folder, SENTENCE, "--to", "de", "--out", tmp_path / "a.png", "--json", tmp_path / "file" / "a.json")
