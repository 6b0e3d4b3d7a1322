import gzip
import json
import unicodedata

import pytest
import sacrebleu

import qkv
from tiny import lines


@pytest.fixture
def test_set(tmp_path):
    (tmp_path / "test.en").write_text("".join(f"{line}\n" for line in lines("en", 4)))
    with gzip.open(tmp_path / "test.de.gz", "wt") as file:
        file.writelines(f"{line}\n" for line in lines("de", 4))
    return ["--src", tmp_path / "test.en", "--ref", tmp_path / "test.de.gz", "--from", "en", "--to", "de"]


def test_json(qkv_command, model_folder, test_set):
    done = qkv_command("eval", model_folder, *test_set, "--json")
    result = json.loads(done.out)
    translations = [t.text for t in qkv.load(model_folder).translate(lines("en", 4), to="de")]
    expected = sacrebleu.corpus_chrf(translations, [lines("de", 4)]).score
    assert result["metrics"].keys() == {"BLEU", "chrF2", "TER"}
    assert result["metrics"]["chrF2"]["score"] == pytest.approx(expected)
    assert (result["lines"], result["beam_size"], result["versions"]["sacrebleu"]) == (4, 5, sacrebleu.__version__)


def test_languages_may_be_called_by_their_names(qkv_command, model_folder, test_set):
    codes = qkv_command("eval", model_folder, *test_set, "--json", "--beam-size", 1).out
    assert (
        qkv_command(
            "eval", model_folder, *test_set[:4], "--from", "English", "--to", "DEU", "--json", "--beam-size", 1
        ).out
        == codes
    )


def test_table(qkv_command, model_folder, test_set):
    done = qkv_command("eval", model_folder, *test_set, "--beam-size", 1)
    assert (done.status, done.err) == (0, "")
    assert all(word in done.out for word in ("BLEU", "chrF2", "TER", "±", "tok:13a", "beam 1", "4 lines"))


def test_a_decomposed_reference_scores_as_the_same_text_and_a_note_names_its_form(
    qkv_command, model_folder, test_set, tmp_path
):
    reference = tmp_path / "decomposed"
    reference.write_text("".join(unicodedata.normalize("NFD", f"{line}\n") for line in lines("de", 4)))
    results = [
        json.loads(qkv_command("eval", model_folder, *test_set, *more, "--json").out)
        for more in ([], ["--ref", reference])
    ]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["notes"] == []
    [note] = results[1]["notes"]
    assert note == "the references are in NFD of Unicode, not in NFC: they were put into NFC before scoring"
    done = qkv_command("eval", model_folder, *test_set, "--ref", reference)
    assert f"note: {note}\n" in done.out


def test_errors(qkv_command, model_folder, test_set, tmp_path):
    (tmp_path / "short").write_text("one\n")
    done = qkv_command("eval", model_folder, *test_set, "--ref", tmp_path / "short")
    assert done.err == (
        f"error: {tmp_path / 'test.en'} has 4 lines, {tmp_path / 'short'} has 1: line n must belong to line n\n"
    )
    assert done.status == 1
    done = qkv_command("eval", model_folder, *test_set, "--to", "en")
    assert (done.status, done.err.count("\n")) == (1, 1)
    (tmp_path / "empty").touch()
    done = qkv_command("eval", model_folder, *test_set, "--src", tmp_path / "empty", "--ref", tmp_path / "empty")
    assert "the test set is empty" in done.err
