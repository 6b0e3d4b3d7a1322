"""Which data is a translator's, and the recipe that suits it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from qkv.config import parse
from qkv.data.text.tokenizer import Tokenizer, TokenizerConfig
from qkv.errors import QkvError
from qkv.models.recurrent import RecurrentConfig
from qkv.models.translator import TranslatorConfig
from qkv.reporter import SILENT
from qkv.systems.recipe import Recipe
from qkv.systems.system import Asked
from qkv.systems.translator.saved import Saved
from qkv.systems.translator.suggest import recognise, sizes, suggest
from qkv.systems.translator.task import TranslatorTaskConfig

NAMED = {"from": "en", "to": "de"}
FILES = {
    "pairs.tsv": "Yes.\tJa.\nNo.\tNein.\n",
    "header.tsv": "en\tde\nYes.\tJa.\n",
    "three.tsv": "en\tde\tfr\nYes.\tJa.\tOui.\n",
    "keys.jsonl": '{"en": "Yes.", "de": "Ja."}\n',
    "more.jsonl": '{"id_": "1", "en": "Yes.", "de": "Ja."}\n',
    "nested.jsonl": '{"translation": {"en": "Yes.", "de": "Ja."}}\n',
    "text.en": "Yes.\nNo.\n",
    "text.de": "Ja.\nNein.\n",
    "notes.md": "Nothing.\n",
    "empty.tsv": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "zipped.tsv.gz").write_bytes(gzip.compress(FILES["header.tsv"].encode()))
    (tmp_path / "picture.tsv").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["pairs.tsv"], NAMED, "a table of sentence pairs"),
        (["empty.tsv"], NAMED, "a table of sentence pairs"),  # what is wrong with it, `suggest` says
        (["keys.jsonl"], NAMED, "a table of sentence pairs"),
        (["zipped.tsv.gz"], NAMED, "a table of sentence pairs"),
        (["text.en", "text.de"], NAMED, "line-aligned text files"),
        (["header.tsv"], {}, "a table of sentences in en, de"),
        (["zipped.tsv.gz"], {}, "a table of sentences in en, de"),
        (["three.tsv"], {}, "a table of sentences in en, de, fr"),
        (["keys.jsonl"], {}, "a table of sentences in en, de"),
        (["nested.jsonl"], {}, "a table of sentences in en, de"),
        (["more.jsonl"], {}, None),
        (["pairs.tsv"], {}, None),
        (["pairs.tsv"], {"from": "en"}, None),
        (["text.en", "text.de"], {}, None),
        (["notes.md"], NAMED, None),
        (["picture.tsv"], NAMED, None),
        (["header.tsv"], {"codes": "model"}, None),
        (["."], NAMED, None),
        (["none.tsv"], NAMED, None),
        ([], NAMED, None),
    ],
)
def test_recognise(folder: Path, names: list[str], options: dict[str, str], said: str | None) -> None:
    assert recognise([folder / name for name in names], options) == said


def corpus_of(folder: Path, *names: str, **options: str) -> dict[str, object]:
    suggested = suggest(Asked(data=[folder / name for name in names], options=options), SILENT)
    [corpus] = suggested.sections["data"]["train"]
    parse(TranslatorTaskConfig, {name: value for name, value in suggested.sections.items() if name != "training"}, "it")
    return corpus


def test_the_corpus_is_what_is_there_in_the_directions_that_are_asked_for(folder: Path) -> None:
    named, table = {"from": "en", "to": "de"}, str(folder / "header.tsv")
    assert corpus_of(folder, "header.tsv") == {"table": table}  # both ways
    assert corpus_of(folder, "header.tsv", **named) == {"table": table, "directions": ["en-de"]}
    assert corpus_of(folder, "header.tsv", **{"from": "sv", "to": "da"}) == {
        "table": table,
        "columns": ["sv", "da"],  # so the first line is a pair, whatever it looks like
        "directions": ["sv-da"],
    }
    table = str(folder / "pairs.tsv")
    assert corpus_of(folder, "pairs.tsv", **named) == {"table": table, "columns": ["en", "de"], "directions": ["en-de"]}
    table = str(folder / "more.jsonl")
    assert corpus_of(folder, "more.jsonl", **named) == {
        "table": table,
        "columns": ["en", "de"],
        "directions": ["en-de"],
    }
    files = {"en": str(folder / "text.en"), "de": str(folder / "text.de")}
    assert corpus_of(folder, "text.en", "text.de", **named) == {"files": files, "directions": ["en-de"]}


def test_languages_may_be_called_by_their_names(folder: Path) -> None:
    called = {"from": "English", "to": "DEUTSCH"}
    codes = {"from": "en", "to": "de"}
    for names in (["header.tsv"], ["pairs.tsv"], ["more.jsonl"], ["text.en", "text.de"]):
        assert corpus_of(folder, *names, **called) == corpus_of(folder, *names, **codes)
    made_up = {"from": "old", "to": "modern"}
    assert corpus_of(folder, "pairs.tsv", **made_up)["columns"] == ["old", "modern"]


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["pairs.tsv"], {"from": "en", "to": "germn"}, "no language 'germn'; did you mean 'german'"),
        (["pairs.tsv"], {}, r"pairs\.tsv needs --from and --to, such as --from en --to ko"),
        (["header.tsv"], {"to": "de"}, r"header\.tsv needs --from and --to"),
        (["text.en", "text.de"], {}, r"text\.en needs --from and --to"),
        (
            ["text.en", "text.de", "notes.md"],
            NAMED,
            "one table or two line-aligned files, not 3; a recipe may name more",
        ),
        (["three.tsv"], {"from": "en", "to": "cs"}, "no direction 'en-cs'; its languages make en-de, en-fr, de-en"),
        (["empty.tsv"], NAMED, r"empty\.tsv is empty"),
        (["text.en", "empty.tsv"], NAMED, "line n of each must say the same"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(
    folder: Path, names: list[str], options: dict[str, str], said: str
) -> None:
    with pytest.raises(QkvError, match=said) as error:
        suggest(Asked(data=[folder / name for name in names], options=options), SILENT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_recurrent_model_is_suggested_where_it_is_asked_for(folder: Path, kind: str) -> None:
    assignments = [f"model.kind={kind}", "model.attention=false"]
    suggested = suggest(Asked(data=[folder / "header.tsv"], assignments=assignments), SILENT)
    recipe = Recipe.suggested({"system": "translator", **suggested.sections}, assignments)
    assert isinstance(recipe.task.model, RecurrentConfig)
    assert (recipe.task.model.kind, recipe.task.model.attention, recipe.task.model.dropout) == (kind, False, 0.3)
    assert "2+2 layers of width 128" in suggested.reason(recipe.task, recipe.training)
    with pytest.raises(QkvError, match=r"unknown field 'model.n_heads'"):
        Recipe.suggested({"system": "translator", **suggested.sections}, [*assignments, "model.n_heads=4"])


def test_a_kind_that_there_is_not_is_refused_by_name(folder: Path) -> None:
    suggested = suggest(Asked(data=[folder / "header.tsv"], assignments=["model.kind=ltsm"]), SILENT)
    with pytest.raises(QkvError, match=r"model.kind is 'ltsm'; did you mean 'lstm'\?"):
        Recipe.suggested({"system": "translator", **suggested.sections}, ["model.kind=ltsm"])


@pytest.mark.parametrize("model", [TranslatorConfig(d_model=48, n_heads=3, norm="post"), RecurrentConfig(kind="gru")])
def test_a_suggestion_for_a_trained_model_keeps_its_sizes(model: TranslatorConfig | RecurrentConfig) -> None:
    initial = Saved(
        model=model,
        vocabulary=1234,
        target_vocabulary=None,
        max_source_tokens=20,
        directions=(("en", "de"),),
        target_tags=False,
    )
    fresh, tuned = sizes(20_000, 10**6), sizes(20_000, 10**6, initial=initial)
    sections = {name: value for name, value in tuned.items() if name != "training"}
    data = {"train": [{"table": "x.tsv"}], **tuned["data"]}
    assert parse(TranslatorTaskConfig, {**sections, "data": data}, "it").model == type(model)(
        **{**vars(model), "dropout": fresh["model"]["dropout"]}
    )
    assert tuned["tokenizer"]["vocabulary"] == 1234
    for name in ("max_steps", "learning_rate"):
        assert tuned["training"][name] < fresh["training"][name]


@pytest.mark.parametrize(
    "names", [["pairs.tsv"], ["header.tsv"], ["three.tsv"], ["keys.jsonl"], ["nested.jsonl"], ["text.en", "text.de"]]
)
@pytest.mark.parametrize("to", ["en", "EN"])
def test_one_language_is_no_pair(folder: Path, names: list[str], to: str) -> None:
    with pytest.raises(QkvError, match="--from and --to are both en: a translator needs two languages"):
        suggest(Asked(data=[folder / name for name in names], options={"from": "en", "to": to}), SILENT)


def test_a_vocabulary_has_room_for_the_characters_of_the_text(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def suggested(character: Callable[[int], str]) -> tuple[int, list[str]]:
        lines = ["".join(character(7 * i + k) for k in range(20)) for i in range(2000)]
        table = folder / "text.tsv"
        table.write_text("".join(f"{line}\t{line}\n" for line in lines))
        sections = suggest(Asked(data=[table], options=NAMED), SILENT).sections
        return sections["tokenizer"]["vocabulary"], lines

    assert suggested(lambda i: chr(ord("a") + i * i % 26))[0] == 3000  # letters need no more than usual
    vocabulary, lines = suggested(lambda i: chr(0xAC00 + i * i % 4001))  # 2,001 syllables of Korean
    assert vocabulary == 4500
    tokenizer = Tokenizer.train(lines, TokenizerConfig(vocabulary=vocabulary))
    assert "no room" not in caplog.text
    assert max(map(len, tokenizer.encode(lines[:50]))) <= 21  # no syllable is spelt in bytes
