"""What a translator does not trust: other languages, text unlike its data, translations that it finds improbable."""

import json
import math
import random
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import qkv
from qkv.data.text.tokenizer import Tokenizer
from qkv.errors import QkvError
from qkv.model_directory import CONFIG, read_saved
from qkv.systems.translator.calibration import calibrate
from qkv.systems.translator.pipeline import Translator
from qkv.systems.translator.profile import PROFILE, Profile
from qkv.systems.translator.saved import Limits, Saved
from tiny import LANGUAGES, lines

TEXTS = {language: lines(language, 60) for language in LANGUAGES}


@pytest.fixture(scope="module")
def folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(model_folder, folder)
    calibrate(folder, TEXTS, {language: of[:20] for language, of in TEXTS.items()})
    return folder


@pytest.fixture(scope="module")
def calibrated(folder: Path) -> Translator:
    return qkv.load(folder)


def test_a_profile_holds_how_often_tokens_occur(model_folder: Path) -> None:
    tokenizer = Tokenizer.load(model_folder / "tokenizer.model")
    [tokens] = tokenizer.encode(["two dogs"])
    ids = [token for row in tokenizer.encode(TEXTS["en"]) for token in row]
    found = Profile.of(TEXTS, tokenizer).log_likelihoods(tokens)
    shares = [0.99 * ids.count(token) / len(ids) + 0.01 / len(tokenizer) for token in tokens]
    assert found["en"] == pytest.approx(sum(map(math.log, shares)), rel=2e-3)  # float16
    assert found["de"] < found["en"]
    [korean] = tokenizer.encode(["한국어"])
    korean = korean[-9:]  # bytes, which say nothing of a language
    assert len(set(Profile.of({**TEXTS, "ko": ["한국어"]}, tokenizer).log_likelihoods(korean).values())) == 1


def test_text_in_the_target_language_is_named(calibrated: Translator) -> None:
    for text in lines("de", 9)[6:]:
        found = calibrated.translate(text, to="de", n_best=2)
        assert "language" in found.flags and found.language == "de"
        assert all("language" in other.flags and other.language == "de" for other in found.n_best)
        assert found.to_json()["language"] == "de"
        assert "language" in calibrated.translate(text, to="fr", from_="en", beam_size=1).flags
        assert "language" not in calibrated.translate(text, to="fr", beam_size=1).flags  # de-fr is a direction, too
    both = calibrated.translate(f"{lines('de', 9)[8]}\n{lines('de', 9)[7]}", to="de")
    assert {"split", "language"} <= {*both.flags}


def test_text_in_a_source_language_raises_no_alarm(calibrated: Translator) -> None:
    for to in LANGUAGES:
        sources = [text for language in LANGUAGES if language != to for text in TEXTS[language][:20]]
        for found in calibrated.translate([*sources, "", "1", "한국어", "two", "Hut"], to=to, beam_size=1):
            assert found.language is None and "language" not in found.flags and "language" not in found.to_json()


def test_text_unlike_the_training_text_is_unsure(calibrated: Translator) -> None:
    draw = random.Random(0)
    strange = ["".join(draw.choices("qxzkvjßé", k=30)) for _ in range(5)]
    assert all("unsure" in found.flags for found in calibrated.translate(strange, to="de", from_="en"))
    assert all("unsure" in found.flags for found in calibrated.translate(strange, to="de", seed=1))
    validation = calibrated.translate(TEXTS["en"][:20], to="de", from_="en")
    assert sum("unsure" in found.flags for found in validation) <= 2  # the least of each kind is where the limit is


@pytest.mark.parametrize(("options", "kind"), [({}, "score"), ({"beam_size": 1}, "greedy")])
def test_an_improbable_translation_is_unsure(folder: Path, tmp_path: Path, options: dict[str, int], kind: str) -> None:
    text = lines("en", 9)[8]
    score = qkv.load(folder).translate(text, to="de", **options).score
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / CONFIG).read_text())
    for limit, expected in ((score + 0.01, True), (score - 0.01, False)):
        config["limits"] = {kind: {"en-de": limit}}
        (tmp_path / "model" / CONFIG).write_text(json.dumps(config))
        translator = qkv.load(tmp_path / "model")
        assert ("unsure" in translator.translate(text, to="de", from_="en", **options).flags) == expected
        assert "unsure" not in translator.translate(text, to="de", from_="en", seed=1).flags


def test_calibration_changes_nothing_else(folder: Path, model_folder: Path) -> None:
    before, after = read_saved(model_folder, Saved), read_saved(folder, Saved)
    assert before.limits == Limits() and {**vars(after), "limits": Limits()} == vars(before)
    assert {*after.limits.score} == {*after.limits.greedy} == {"-".join(one) for one in after.directions}
    assert {*after.limits.familiarity} == {*LANGUAGES}
    for name in ("model.safetensors", "tokenizer.model", "README.md"):
        assert (folder / name).read_bytes() == (model_folder / name).read_bytes()
    texts = lines("en", 12)
    plain, doubted = (qkv.load(one).translate(texts, to="de") for one in (model_folder, folder))
    assert [(one.text, one.score) for one in plain] == [(one.text, one.score) for one in doubted]
    assert not any({"unsure", "language"} & {*one.flags} for one in plain)  # a model without limits never doubts


def test_limits_lie_where_few_of_validation_are_below(folder: Path) -> None:
    limits, translator = read_saved(folder, Saved).limits, qkv.load(folder)
    for beam_size, of in ((5, limits.score), (1, limits.greedy)):
        found = translator.translate(TEXTS["fr"][:20], "en", "fr", beam_size=beam_size)
        scores = np.sort([one.score for one in found])
        assert scores[0] <= of["fr-en"] <= scores[1] + 1e-4


def test_the_script_does_the_same(
    folder: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    files = {
        kind: [f"{language}={tmp_path / kind}.{language}" for language in LANGUAGES] for kind in ("train", "validation")
    }
    for language, of in TEXTS.items():
        (tmp_path / f"train.{language}").write_text("".join(f"{line}\n" for line in of))
        (tmp_path / f"validation.{language}").write_text("".join(f"{line}\n" for line in of[:20]))
    given = ["--train", *files["train"], "--validation", *files["validation"]]
    monkeypatch.setattr(sys, "argv", ["calibrate", str(tmp_path / "model"), *given])
    runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "calibrate_translator.py"), run_name="__main__")
    for name in (CONFIG, PROFILE):
        assert (tmp_path / "model" / name).read_bytes() == (folder / name).read_bytes()
    assert "score: en-de -" in capsys.readouterr().out


def test_a_language_without_text_is_named(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    with pytest.raises(QkvError, match=r"translates fr, too: give validation text of it"):
        calibrate(tmp_path / "model", TEXTS, {"en": ["a"], "de": ["b"]})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"\xff" * 64, "cannot be read"),
        ({"en": np.zeros(3, np.float16)}, "must hold"),
        ({"en": np.zeros(400, np.float64)}, "must hold"),
        ({"en": np.full(400, np.nan, np.float16)}, "must hold"),
    ],
)
def test_a_damaged_profile_is_refused_in_one_line(
    model_folder: Path, tmp_path: Path, content: bytes | dict[str, np.ndarray], said: str
) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    if isinstance(content, bytes):
        (tmp_path / "model" / PROFILE).write_bytes(content)
    else:
        save_file(content, tmp_path / "model" / PROFILE)
    with pytest.raises(QkvError, match=said) as error:
        qkv.load(tmp_path / "model")
    assert "\n" not in str(error.value) and PROFILE in str(error.value)


def test_limits_that_are_no_numbers_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    for limits, said in (({"score": {"en-de": math.nan}}, "finite"), ({"scores": {}}, "unknown field 'limits.scores'")):
        config = json.loads((folder / CONFIG).read_text())
        (tmp_path / "model" / CONFIG).write_text(json.dumps({**config, "limits": limits}))
        with pytest.raises(QkvError, match=said):
            qkv.load(tmp_path / "model")
