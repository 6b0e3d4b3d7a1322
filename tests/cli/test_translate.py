import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import qkv
from hostile import hostile_lines
from qkv import model_directory
from qkv.systems.translator import lines as line_reader
from qkv.systems.translator.verbs import DEFAULT_MODEL, model_and_texts
from tiny import lines


def partials(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.partial"))


def test_texts_files_and_standard_input_agree(qkv_command, model_folder, tmp_path):
    texts = lines("en", 5)
    data = "".join(f"{text}\n" for text in texts)
    (tmp_path / "in.txt").write_text(data)
    expected = [t.text for t in qkv.load(model_folder).translate(texts, to="de")]
    options = (model_folder, "--to", "de", "--from", "en")
    assert qkv_command("translate", *options, *texts).lines == expected
    assert qkv_command("translate", *options, stdin=data.encode()).lines == expected
    assert qkv_command("translate", *options, "--input", tmp_path / "in.txt").lines == expected
    done = qkv_command("translate", *options, "--input", tmp_path / "in.txt", "--out", tmp_path / "out" / "out.txt")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert (tmp_path / "out" / "out.txt").read_text().split("\n") == [*expected, ""]
    assert os.listdir(tmp_path / "out") == ["out.txt"]
    qkv_command("translate", *options, "--out", tmp_path / "piped.txt", stdin=data.encode())
    assert (tmp_path / "piped.txt").read_text().split("\n") == [*expected, ""]


@pytest.mark.parametrize(
    ("stdin", "n"),
    [(b"", 0), (b"\n", 1), (b"one", 1), (b"one\n", 1), (b"\n\n\n", 3), (b"a\rb\x0bc\xe2\x80\xa8d\r\n", 1)],
)
def test_a_line_ends_at_a_line_feed_alone(qkv_command, model_folder, stdin, n):
    done = qkv_command("translate", model_folder, "--to", "de", "--beam-size", 1, stdin=stdin)
    assert (done.status, len(done.lines)) == (0, n)


def test_hostile_file_of_a_thousand_lines(qkv_command, model_folder, tmp_path):
    texts = [line.encode("utf-8", "replace").decode() for line in hostile_lines(1000, longest=1500)]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in texts), encoding="utf-8", newline="")
    options = (model_folder, "--to", "de", "--beam-size", 1, "--max-length", 4, "--json")
    done = qkv_command("translate", *options, "--input", tmp_path / "in.txt", "--out", tmp_path / "out.txt")
    assert (done.status, done.err) == (0, "")
    results = [json.loads(line) for line in (tmp_path / "out.txt").read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(results) == 1000
    alone = qkv.load(model_folder).translate
    for line, result in list(zip(texts, results))[::50]:
        assert result == alone(line, to="de", beam_size=1, max_length=4).to_json()


def test_a_file_that_is_not_utf8_leaves_nothing_behind(qkv_command, model_folder, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"good\n" * 1000 + b"b\xffd\n")
    command = ("translate", model_folder, "--to", "de", "--input", tmp_path / "in.txt")
    for output in ((), ("--out", tmp_path / "out.txt")):
        done = qkv_command(*command, *output)
        assert (done.status, done.out) == (1, "")
        assert done.err == (
            f"error: {tmp_path / 'in.txt'} is not UTF-8: byte 5001 (line 1001) is invalid; convert it to UTF-8\n"
        )
    assert os.listdir(tmp_path) == ["in.txt"]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 16])
def test_standard_input_that_is_not_utf8(qkv_command, model_folder, monkeypatch, chunk):
    monkeypatch.setattr(line_reader, "_BLOCK_CHARACTERS", chunk)
    done = qkv_command("translate", model_folder, "--to", "de", stdin=b"ab\n\xc3\xa9x\xc3\nab\n")
    assert (done.status, len(done.lines)) == (1, 1)
    assert done.err == "error: standard input is not UTF-8: byte 6 (line 2) is invalid; convert it to UTF-8\n"


def test_not_utf8_on_standard_input_leaves_no_output(qkv_command, model_folder, tmp_path):
    done = qkv_command("translate", model_folder, "--to", "de", "--out", tmp_path / "out", stdin=b"ab\n\xff\n")
    assert done.status == 1
    assert os.listdir(tmp_path) == []


def test_json_holds_scores_flags_and_alternatives(qkv_command, model_folder):
    done = qkv_command("translate", model_folder, "--to", "de", "--json", "--n-best", 2, "two dogs", " ")
    some, empty = map(json.loads, done.lines)
    assert some.keys() == {"text", "score", "flags", "n_best"}
    assert [some["text"], some["score"]] == [some["n_best"][0]["text"], some["n_best"][0]["score"]]
    assert (empty["text"], empty["flags"]) == ("", ["empty"])


def test_resumes_after_a_kill(qkv_command, model_folder, tmp_path, monkeypatch):
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"{i} {line}\n" for i, line in enumerate(lines("en", 1500))))
    command = ("translate", model_folder, "--to", "de", "--beam-size", 1, "--input", source, "--out")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "qkv", *map(str, (*command, output))], env=environment)
    while not (found := partials(tmp_path)) or not found[0].stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    [partial] = partials(tmp_path)
    done = partial.read_bytes().count(b"\n")
    assert 0 < done < 1500
    with partial.open("ab") as file:
        file.write(b"half a li")

    resumed = qkv_command(*command, output)
    assert (resumed.status, resumed.err) == (0, f"going on behind line {done:,} of 1,500\n")
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.txt"]
    assert qkv_command(*command, tmp_path / "at-once.txt").status == 0
    assert output.read_bytes() == (tmp_path / "at-once.txt").read_bytes()


def test_other_work_is_not_resumed(qkv_command, model_folder, tmp_path, monkeypatch):
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("one\ntwo\n")
    monkeypatch.setattr(line_reader, "_BLOCK_LINES", 1)
    real, calls = qkv.systems.translator.pipeline.Translator.translate, []

    def interrupted(self, texts, *args, **kwargs):
        calls.append(texts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, texts, *args, **kwargs)

    monkeypatch.setattr(qkv.systems.translator.pipeline.Translator, "translate", interrupted)
    command = ("translate", model_folder, "--input", source, "--out", output)
    stopped = qkv_command(*command, "--to", "de")
    assert (stopped.status, stopped.err) == (130, "interrupted; the same command goes on behind line 1\n")
    assert len(partials(tmp_path)) == 1 and not output.exists()
    assert qkv_command(*command, "--to", "fr").err == ""
    assert calls[2:] == [["one"], ["two"]]
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.txt"]


def test_which_word_is_the_model(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(model_directory, "bundled_models", lambda: {"multi30k": model_folder})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snow").mkdir()
    for named in ("multi30k", "multi30", "multi3k", str(model_folder), "runs/first", "owner/name"):
        assert model_and_texts([named, "a text"]) == (named, ["a text"])
    for text in ("Hello.", "snow", "and / or", "model", "", "multi"):
        assert model_and_texts([text, "a text"]) == (DEFAULT_MODEL, [text, "a text"])
    assert model_and_texts([]) == (DEFAULT_MODEL, [])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--to", "xx", "two dogs"], 1, "the model does not translate into 'xx'; choose from de, en, fr"),
        (["--to", "de", "--n-best", "2", "two dogs"], 1, "--n-best gives several translations of a line: add --json"),
        (["--to", "de", "--n-best", "6", "--beam-size", "5", "--json", "a"], 1, "n_best must be from 1"),
        (["--to", "de", "--beam-size", "2", "--top-k", "5", "a"], 1, "top_k asks for sampling, beam_size=2"),
        (["--to", "de", "--input", "x.txt", "two dogs"], 1, "give texts or --input, not both"),
        (["--to", "de", "--input", "missing.txt"], 1, "missing.txt does not exist"),
        (["--to", "de", "--input", "missing.txt", "--out", "o.gz"], 1, "must be a plain text file, not .gz"),
        (["--to", "de", "--out", "."], 1, "must be a plain text file, not a folder"),
        (["two dogs"], 2, "Missing option '--to'"),
        (["--to", "de", "--beam", "5"], 2, "No such option: --beam"),
        (["--to", "de", "--beam-size", "five"], 2, "Invalid value for '--beam-size'"),
    ],
)
def test_errors_are_one_line(qkv_command, model_folder, monkeypatch, tmp_path, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    done = qkv_command("translate", model_folder, *arguments)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert message in done.err
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_no_model(qkv_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    done = qkv_command("translate", "runs/first", "a text", "--to", "de")
    assert done.status == 1
    assert "no model 'runs/first'" in done.err
    assert "to translate 'runs/first' as a text, name a model before it" in done.err


def test_an_output_folder_that_cannot_be_written(qkv_command, model_folder, tmp_path):
    (tmp_path / "file").write_text("a\n")
    done = qkv_command(
        "translate", model_folder, "--to", "de", "--input", tmp_path / "file", "--out", tmp_path / "file" / "out"
    )
    assert done.status == 1
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
