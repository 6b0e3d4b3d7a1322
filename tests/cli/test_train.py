import json
import random
import shutil
from pathlib import Path

import pytest

SMALL = [
    f"--set={field}"
    for field in (
        "model.d_model=32",
        "model.d_ff=64",
        "model.n_layers=2",
        "model.dropout=0",
        "tokenizer.vocabulary=360",
        "tokenizer.sampling=0",
        "data.holdout=20",
        "data.batch_tokens=600",
        "label_smoothing=0",
        "training.max_steps=400",
        "training.warmup=50",
        "training.learning_rate=0.01",
        "training.validate_every=100",
    )
]
TINY_STEPS = [
    f"--set={field}" for field in ("training.max_steps=2", "training.warmup=1", "training.learning_rate=0.0001")
]
ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
KOREAN = ["하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉", "열"]


def write_pairs(path: Path, n: int = 400) -> None:
    """Counting, word by word; the third column says whose sentence it is, as in Tatoeba's exports."""
    draw, rows = random.Random(0), []
    for i in range(n):
        words = [draw.randrange(10) for _ in range(draw.randint(1, 4))]
        source, target = (" ".join(language[w] for w in words) for language in (ENGLISH, KOREAN))
        rows.append(f"{source}\t{target}\tCC-BY 2.0 (France) Attribution: tatoeba.org #{i}\n")
    path.write_text("".join(rows), encoding="utf-8")


def test_from_a_table_without_a_recipe_to_translations(tmp_path: Path, qkv) -> None:
    write_pairs(tmp_path / "kor.tsv")
    done = qkv("train", "--data", "kor.tsv", "--from", "en", "--to", "ko", "--out", "run", *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "400 pairs: " in done.stderr  # the sizes it picked, and why
    assert (tmp_path / "run" / "curve.png").exists()
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "learning_rate", "tokens_per_second", "gradient_norm"} <= metrics[0].keys()

    text = "three seven nine\n"
    (tmp_path / "in.txt").write_text(text)
    translated = qkv("translate", "run", "--to", "ko", "--input", "in.txt", "--output", "out.txt", folder=tmp_path)
    assert translated.returncode == 0, translated.stderr
    assert (tmp_path / "out.txt").read_text() == "셋 일곱 아홉\n"

    (tmp_path / "test.en").write_text("two four\nfive one six\n")
    (tmp_path / "test.ko").write_text("둘 넷\n다섯 하나 여섯\n")
    command = ("eval", "run", "--src", "test.en", "--ref", "test.ko", "--from", "en", "--to", "ko", "--json")
    scored = qkv(*command, folder=tmp_path)
    assert scored.returncode == 0, scored.stderr

    again = qkv("train", "run", folder=tmp_path)  # finished already: nothing to do, and it says so
    assert again.returncode == 0, again.stderr
    assert "finished at step 400" in again.stderr

    data = ("--data", "kor.tsv", "--from", "en", "--to", "ko", *TINY_STEPS)
    tuned = qkv("train", *data, "--initial", "run", "--out", "tuned", folder=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    shutil.rmtree(tmp_path / "run")  # the new run needs it no more
    further = tmp_path / "tuned" / "recipe.yaml"
    further.write_text(further.read_text().replace("max_steps: 2", "max_steps: 4"))
    tuned = qkv("train", "tuned", folder=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    translated = qkv("translate", "tuned", "--to", "ko", "three seven nine", folder=tmp_path)
    assert translated.stdout == "셋 일곱 아홉\n"  # which four steps alone do not teach


def test_a_recurrent_model_from_a_table_that_names_its_languages(tmp_path: Path, qkv) -> None:
    write_pairs(tmp_path / "kor.tsv")
    pairs = (tmp_path / "kor.tsv").read_text()
    (tmp_path / "kor.tsv").write_text(
        "en\tko\n" + "".join(f"{line.rsplit(chr(9), 1)[0]}\n" for line in pairs.splitlines())
    )
    small = [setting for setting in SMALL if "d_ff" not in setting]
    done = qkv("train", "kor.tsv", "--out", "run", "--set", "model.kind=gru", *small, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "kor.tsv: a table of sentences in en, ko: training a translator" in done.stderr
    assert "400 pairs: 2+2 layers" in done.stderr
    for to, text, translated in (("ko", "three seven nine", "셋 일곱 아홉\n"), ("en", "둘 넷", "two four\n")):
        assert qkv("translate", "run", text, "--to", to, folder=tmp_path).stdout == translated

    (tmp_path / "test.en").write_text("two four\nfive one six\n")
    (tmp_path / "test.ko").write_text("둘 넷\n다섯 하나 여섯\n")
    test_set = ("--src", "test.en", "--ref", "test.ko", "--from", "en", "--to", "ko")
    scored = qkv("eval", "run", *test_set, "--json", folder=tmp_path)
    assert json.loads(scored.stdout)["metrics"]["chrF2"]["score"] > 90
    explained = qkv("explain", "run", "two four", "--to", "ko", folder=tmp_path)
    assert explained.returncode == 0, explained.stderr
    assert "Cross-attention" in explained.stdout and "Encoder" not in explained.stdout

    steps = ("--from", "en", "--to", "ko", *TINY_STEPS)
    tuned = qkv("train", "kor.tsv", *steps, "--initial", "run", "--out", "tuned", folder=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    mean = qkv("average", "run", "run", "--out", "mean", folder=tmp_path)
    assert mean.returncode == 0, mean.stderr
    for model in ("tuned", "mean"):
        assert qkv("translate", model, "three seven", "--to", "ko", folder=tmp_path).stdout == "셋 일곱\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to train on"),
        (("none.yaml",), "none.yaml: No such file or directory"),
        (("--data", "pairs.tsv"), "pairs.tsv needs --from and --to, such as --from en --to ko"),
        (("pairs.tsv", "--from", "en"), "pairs.tsv needs --from and --to, such as --from en --to ko"),
        (("pairs.tsv", "--system", "translator"), "pairs.tsv needs --from and --to"),
        (
            ("pairs.tsv", "--from", "en", "--to", "ko", "--set", "model.kind=gur"),
            "model.kind is 'gur'; did you mean 'gru'",
        ),
        (("recipe.yaml", "--set", "model.kind=gru", "--set", "model.d_ff=3"), "unknown field 'model.d_ff'; "),
        (("recipe.yaml", "--data", "pairs.tsv"), "--data is for training without a recipe: recipe.yaml says all of it"),
        (("recipe.yaml", "--set", "model.d_modl=3"), "unknown field 'model.d_modl'; did you mean 'd_model'?"),
        (("recipe.yaml", "--set", "training.shedule=linear"), "unknown field 'shedule'; did you mean 'schedule'?"),
        (("recipe.yaml", "--set", "system=translater"), "did you mean 'translator'?"),
        (("recipe.yaml", "--set", "model.n_heads=5"), "d_model (256) must be a multiple of n_heads (5)"),
        (("recipe.yaml", "--set", "training.device=tpu9"), "training.device: 'tpu9' cannot be used here"),
        (("--data", "none.tsv", "--from", "en", "--to", "ko"), "none.tsv"),
        (("recipe.yaml", "--initial", "multi31k"), "there is no model 'multi31k'; did you mean multi30k?"),
        (("recipe.yaml", "--from", "multi31k"), "there is no model 'multi31k'; did you mean multi30k?"),
        (("recipe.yaml", "--initial", "multi30k"), "model.d_model is 256, but the initial model's is 128: set it to"),
        (("--data", "pairs.tsv", "--from", "en", "--to", "ko", "--initial", "multi30k"), "no language 'ko' here"),
        (("recipe.yaml", "--to", "ko"), "--to is for training without a recipe: recipe.yaml says all of it"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str, qkv) -> None:
    write_pairs(tmp_path / "pairs.tsv", 50)
    (tmp_path / "recipe.yaml").write_text(
        "system: translator\n"
        "data: {train: [{table: pairs.tsv, columns: [en, ko], directions: [en-ko]}], batch_tokens: 600}\n"
        "tokenizer: {vocabulary: 320}\n"
    )
    done = qkv("train", *arguments, "--out", "run", folder=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last, done.stderr
    assert "Traceback" not in done.stderr


def test_processes_share_the_work_and_speak_once(tmp_path: Path, qkv) -> None:
    write_pairs(tmp_path / "pairs.tsv")
    languages = ("--from", "en", "--to", "ko")
    steps = ("--set=training.max_steps=6", "--set=training.warmup=2", "--set=training.validate_every=3")
    done = qkv(
        "train", "--data", "pairs.tsv", *languages, "--processes", 2, "--out", "run", *SMALL, *steps, folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished at step 6") == 1
    failed = qkv("train", "--data", "none.tsv", *languages, "--processes", "2", folder=tmp_path)
    assert failed.returncode == 1
    assert "error: none.tsv" in failed.stderr and "Traceback" not in failed.stderr


def test_a_run_is_not_overwritten(tmp_path: Path, qkv) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("system: translator\n")
    write_pairs(tmp_path / "pairs.tsv", 50)
    done = qkv("train", "--data", "pairs.tsv", "--from", "en", "--to", "ko", "--out", "run", folder=tmp_path)
    assert done.returncode == 1
    assert "error: run is a run already: go on with `qkv train run`" in done.stderr
    for option in (("--from", "multi30k"), ("--to", "ko"), ("--initial", "multi30k"), ("--set", "seed=2")):
        other = qkv("train", "run", *option, folder=tmp_path)
        assert other.returncode == 1
        assert "error: run goes on as it began: all other options are for new runs" in other.stderr
