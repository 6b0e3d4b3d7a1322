"""Options that verbs have in common: where and how they compute, what they say, and what a shell completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.cli.main import verbs
from qkv.errors import QkvError
from qkv.model_directory import bundled_models
from qkv.systems.translator.decoding import MOST_HYPOTHESES, MOST_TOKENS
from tiny import lines, tiny_translator
from tiny_codes import tiny_codes
from tiny_painter import tiny_painter
from tiny_vit import LABELS, tiny_vit

MANY = ["--batch-size", "1"]
# Every verb that runs a model: its arguments, and whether it takes several inputs at once.
INFERENCE = {
    "translate": (["translate", "translator", "--to", "de", "--input", "in.txt", "--out", "out.txt"], True),
    "translate texts": (["translate", "translator", "--to", "de", "--json", *lines("en", 3)], True),
    "eval translator": (
        ["eval", "translator", "--src", "in.txt", "--ref", "ref.txt", "--from", "en", "--to", "de"],
        True,
    ),
    "explain translator": (["explain", "translator", "two dogs", "--to", "de", "--out", "out.png"], False),
    "classify": (["classify", "vit", "test", "--json"], True),
    "eval classifier": (["eval", "vit", "test", "--confusion", "out.png"], True),
    "explain classifier": (["explain", "vit", "test/ant/0.png", "--out", "out.png", "--json", "out.json"], False),
    "draw": (["draw", "painter", "a red bird", "two green fish", "-n", "3", "--rerank", "--out", "out.png"], True),
    "eval painter": (["eval", "painter", "captioned", "-n", "2", "--grid", "out.png"], True),
    "eval codes": (["eval", "codes", "test", "--grid", "out.png"], True),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, draw = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    tiny_translator(place / "translator")
    tiny_vit(place / "vit")
    tiny_codes(place / "codes")
    tiny_painter(place / "painter")
    (place / "in.txt").write_text("".join(f"{line}\n" for line in lines("en", 5)))
    (place / "ref.txt").write_text("".join(f"{line}\n" for line in lines("de", 5)))
    for name in (*(f"test/{label}/0" for label in LABELS), "captioned/0", "captioned/1"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(place / f"{name}.png")
        (place / f"{name}.txt").write_text("a bird\n")
    return place


@pytest.fixture
def threads():
    """How many threads compute, put back as they were."""
    before = torch.get_num_threads()
    yield torch.get_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", INFERENCE)
def test_every_verb_computes_as_it_is_told_and_gives_the_same(place: Path, qkv_command, threads, case: str) -> None:
    command, several = INFERENCE[case]
    plain = qkv_command(*command)
    assert plain.status == 0, plain.err
    written = {path: path.read_bytes() for path in Path().glob("out.*")}
    assert threads() != 3
    told = [*command, "--force"] if written else command
    options = ["--device", "cpu", "--threads", "3", "--quiet", *(MANY if several else [])]
    done = qkv_command(*told, *options)
    assert (done.status, done.err, threads()) == (0, "", 3)
    assert {path: path.read_bytes() for path in Path().glob("out.*")} == written
    # Without remarks of where things are; all else is a result.
    assert done.lines == [line for line in plain.lines if "out." not in line][: len(done.lines)]
    assert [line for line in plain.lines if "out." not in line and line] == [line for line in done.lines if line]
    for wrong in (["--device", "no-such"], ["--threads", "0"], ["--batch-size", "0"]):
        if several or wrong[0] != "--batch-size":
            refused = qkv_command(*told, *wrong)
            assert refused.status and refused.err.startswith("error: ") and refused.err.count("\n") == 1
            assert wrong[0].strip("-") in refused.err


@pytest.mark.parametrize(("case", "seen"), [("classify", "run"), ("draw", "draw_codes"), ("eval codes", "run")])
def test_a_batch_holds_no_more_than_is_told(place: Path, qkv_command, monkeypatch, case: str, seen: str) -> None:
    from qkv.runtime.engine import Engine

    rows: list[int] = []
    real = Engine.call

    def call(self, function, *inputs):
        rows.extend(len(one) for one in inputs[:1] if isinstance(one, torch.Tensor))
        return real(self, function, *inputs)

    monkeypatch.setattr(Engine, "call", call)
    command, _ = INFERENCE[case]
    monkeypatch.setattr("qkv.runtime.engine.FusedEngine.forward", Engine.forward)
    assert qkv_command(*command).status == 0
    whole, most = len(rows), max(rows)
    rows.clear()
    assert qkv_command(*command, *MANY, "--force" if "out.png" in command else "--json").status == 0
    assert max(rows) < most and len(rows) > whole


def test_translations_are_made_as_many_at_a_time_as_told(place: Path, qkv_command, monkeypatch) -> None:
    from qkv.systems.translator.pipeline import Translator

    sizes: list[int] = []
    real = Translator._generate

    def generate(self, batch, decoding):
        sizes.append(len(batch))
        return real(self, batch, decoding)

    monkeypatch.setattr(Translator, "_generate", generate)
    texts = [f"{number} {line}" for number, line in enumerate(lines("en", 5))]
    assert qkv_command("translate", "translator", "--to", "de", "--batch-size", 2, *texts).status == 0
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.txt"], "in.txt is a file, and its name no text to work on: did you mean --input in.txt?"),
        (["./in.txt"], "./in.txt is a file, and its name no text to work on: did you mean --input ./in.txt?"),
        (["translator", "two dogs", "in.txt"], "did you mean --input in.txt?"),
    ],
)
def test_the_name_of_a_file_is_no_text(place: Path, qkv_command, arguments: list[str], message: str) -> None:
    for verb, options, instead in (
        ("translate", ["--to", "de"], message),
        ("draw", [], message.replace("did you mean --input ", "give the captions").split("captions")[0]),
    ):
        done = qkv_command(verb, *arguments, *options)
        assert (done.status, done.out) == (1, "") and instead in done.err and done.err.count("\n") == 1
    assert "give a sentence of it" in qkv_command("explain", "translator", "in.txt", "--to", "de").err


def test_a_text_that_names_no_file_is_a_text(place: Path, qkv_command) -> None:
    texts = ["test", "in", "x" * 5000, "two dogs"]  # a folder's name may be a word
    done = qkv_command("translate", "translator", "--to", "de", "--max-length", 3, *texts)
    assert (done.status, len(done.lines)) == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam-size", MOST_HYPOTHESES + 1], f"beam_size must be at most {MOST_HYPOTHESES}"),
        (["--beam-size", 10**9], f"beam_size must be at most {MOST_HYPOTHESES}"),
        (["--n-best", 10**9, "--json"], f"n_best must be at most {MOST_HYPOTHESES}"),
        (["--n-best", 10**9, "--json", "--seed", 1], f"n_best must be at most {MOST_HYPOTHESES}"),
        (["--max-length", 10**9], f"max_length (1000000000) is above what one translation may have, {MOST_TOKENS:,}"),
        (["--min-length", 10**9], "min_length (1000000000) is above what one translation may have"),
        (["--min-length", 10**8, "--max-length", 10**9], "max_length (1000000000) is above"),
        (["--threads", 10**6], "Invalid value for '--threads'"),
    ],
)
def test_what_would_take_all_memory_is_refused(model_folder: Path, qkv_command, options, message: str) -> None:
    done = qkv_command("translate", model_folder, "--to", "de", *options, "two dogs")
    assert done.status and done.err.count("\n") == 1 and message in done.err


def test_a_beam_is_no_wider_than_the_vocabulary(model_folder: Path, qkv_command, monkeypatch) -> None:
    import qkv

    translator = qkv.load(model_folder)
    size = len(translator.codec.target)
    monkeypatch.setattr("qkv.systems.translator.decoding.MOST_HYPOTHESES", 10**9)
    for options in ({"beam_size": size + 1}, {"n_best": size + 1}):
        with pytest.raises(QkvError, match=f"beam_size \\({size + 1}\\) is above the {size} tokens of the model's"):
            translator.translate("two dogs", "de", **options)
    assert translator.translate("two dogs", "de", beam_size=size, max_length=2).text is not None


@pytest.mark.parametrize(
    "words", [[], *([verb] for verb in verbs()), ["eval", "multi30k"], ["explain", "fashion-mnist"]]
)
def test_help_names_no_type_where_there_is_no_value(qkv_command, words: list[str]) -> None:
    done = qkv_command(*words, "--help")
    assert done.status == 0 and "bool" not in done.out.lower()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("qkv tr", {"translate", "train"}),
        ("qkv translate --th", {"--threads"}),
        ("qkv translate mul", {"multi30k"}),
        ("qkv classify fash", {"fashion-draw", "fashion-mnist"}),
        ("qkv eval fashion-mnist --con", {"--confusion"}),
        ("qkv eval multi30k --con", set()),
        ("qkv eval no-such --con", set()),
        ("qkv average ", set(bundled_models())),
        ("qkv train --system painter --cod", {"--codes"}),
    ],
)
def test_a_shell_completes(qkv_command, monkeypatch, line: str, found: set[str]) -> None:
    words = line.split(" ")
    monkeypatch.setenv("_QKV_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    done = qkv_command()
    assert (done.status, set(done.out.split()), done.err) == (0, found, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_completion(tmp_path: Path) -> None:
    # As a user has it: the script is installed, a new shell reads it, and Tab is pressed behind "qkv mod".
    program = tmp_path / "bin" / "qkv"
    program.parent.mkdir()
    program.write_text(f'#!/usr/bin/env bash\nexec {sys.executable} -m qkv "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    # Behind a second command, so that bash stays, for typer to see which shell it is in.
    shown = subprocess.run(["bash", "-c", "qkv --show-completion; :"], env=environment, capture_output=True, text=True)
    assert "complete -o default -F _qkv_completion qkv" in shown.stdout, shown
    tab = f'{shown.stdout}\nCOMP_WORDS=(qkv mod); COMP_CWORD=1; _qkv_completion qkv; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", tab], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "models\n"
