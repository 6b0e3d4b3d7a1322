"""What may be handed to a model from Python, and the one line that refuses all else; the same for every system."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pyarrow as pa
import pytest
import torch

import qkv
from qkv.errors import QkvError
from qkv.systems.arguments import checked, pictures, text, texts
from qkv.systems.classifier.pipeline import Classifier
from qkv.systems.codes.pipeline import Codes
from qkv.systems.painter.pipeline import Painter
from qkv.systems.registry import SYSTEMS, find_system
from qkv.systems.scorer.pipeline import Scorer
from tiny_codes import tiny_codes
from tiny_painter import CAPTIONS, tiny_painter
from tiny_scorer import tiny_scorer
from tiny_vit import tiny_vit

WORDS = ["a dog", "", "두 마리"]


class PandasMissing:
    """What pandas puts where a text is missing; it is equal to nothing and refuses to be a truth value."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __repr__(self) -> str:
        return "<NA>"


PandasMissing.__name__ = "NAType"


def generated() -> Iterator[str]:
    yield from WORDS


COLUMNS: list[Callable[[], Any]] = [
    lambda: WORDS,
    lambda: tuple(WORDS),
    generated,
    lambda: dict.fromkeys(WORDS).keys(),
    lambda: np.array(WORDS),
    lambda: np.array(WORDS, dtype=object),
    lambda: pa.array(WORDS),
    lambda: pa.chunked_array([WORDS[:1], WORDS[1:]]),
    lambda: [pa.scalar(word) for word in WORDS],
]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_kind_of_column_is_the_list_of_its_texts(column: Callable[[], Any]) -> None:
    found, single = texts(column())
    assert (found, single) == (WORDS, False)
    assert {type(one) for one in found} == {str}


def test_a_column_of_pandas_is_too() -> None:
    pandas = pytest.importorskip("pandas")
    assert texts(pandas.Series(WORDS, index=[7, 3, 1])) == (WORDS, False)
    with pytest.raises(QkvError, match=r"^text 2 of 3 is missing \((nan|None|<NA>)\): leave it out, or fill it in$"):
        texts(pandas.Series(["a", None, "b"]))
    with pytest.raises(QkvError, match="a table: give one of its columns"):
        texts(pandas.DataFrame({"a": WORDS}))


def test_a_single_text_is_known_from_several() -> None:
    assert texts("ab") == (["ab"], True)
    assert texts(np.str_("ab")) == (["ab"], True)
    assert texts(pa.scalar("ab")) == (["ab"], True)
    assert texts(["ab"]) == (["ab"], False)
    assert text("ab") == "ab"
    with pytest.raises(QkvError, match="single caption here, not 2"):
        text(["a", "b"], "caption")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, r"text is missing \(None\)"),
        (float("nan"), r"text is missing \(nan\)"),
        (b"dog", "text is bytes: decode it first"),
        (5, "text must be one text, or several of them as a list, not 5"),
        (["a", None], r"text 2 of 2 is missing \(None\)"),
        (["a", float("nan")], r"text 2 of 2 is missing \(nan\)"),
        (["a", PandasMissing()], r"text 2 of 2 is missing \(<NA>\)"),
        (pa.array(["a", None]), r"text 2 of 2 is missing \(None\)"),
        ([b"a"], "text 1 of 1 is bytes"),
        (["a", 5], "text 2 of 2 must be a text, not 5"),
        ([["a"]], r"text 1 of 1 must be a text, not \['a'\]"),
        ([["a" * 99]], "not a value of type list"),
        ({"a": "b"}, "a mapping: give its values"),
        ({"a", "b"}, "a set, which has no order"),
        (pa.table({"a": ["b"]}), "a table: give one of its columns"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(QkvError, match=f"^(text|texts are given as )?.*{said}") as refused:
        texts(given)
    assert len(str(refused.value).splitlines()) == 1


def test_an_error_of_a_generator_is_its_own() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        texts(broken())


def test_pictures_are_single_or_several() -> None:
    grey = np.zeros((4, 4), np.uint8)
    assert pictures("a.png") == (["a.png"], True)
    assert pictures(Path("a.png"))[1] and pictures(b"png")[1] and pictures(grey)[1]
    assert pictures(np.array(["a.png", "b.png"]))[0] == ["a.png", "b.png"]
    found, single = pictures(np.stack([grey[..., None]] * 3))
    assert [one.shape for one in found] == [(4, 4, 1)] * 3 and not single
    assert pictures(one for one in ["a.png"]) == (["a.png"], False)
    for given, said in ((None, "picture is missing"), (["a", None], "picture 2 of 2 is missing"), ([5], "not 5")):
        with pytest.raises(QkvError, match=said):
            pictures(given)


class Options(TypedDict, total=False):
    beam_size: int | None
    rerank: bool


@checked
def work(
    what: str,
    n: int = 1,
    where: Path | None = None,
    progress: Callable[[], None] | None = None,
    heat: float = 1.0,
    **options: Unpack[Options],
) -> tuple[Any, ...]:
    """A function with one parameter of each kind."""
    return what, n, where, progress, heat, options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"beam": 3}, r"work takes no 'beam'; did you mean 'beam_size'\?"),
        ({"zzz": 3}, "work takes no 'zzz'; choose from beam_size, heat, n, progress, rerank, what, where"),
        ({"n": 1.5}, "n must be a whole number, not 1.5"),
        ({"n": True}, "n must be a whole number, not True"),
        ({"n": None}, "n must be a whole number, not None"),
        ({"n": "2"}, "n must be a whole number, not '2'"),
        ({"beam_size": 2.0}, "beam_size must be a whole number or None, not 2.0"),
        ({"heat": "hot"}, "heat must be a number, not 'hot'"),
        ({"heat": False}, "heat must be a number, not False"),
        ({"rerank": 1}, "rerank must be True or False, not 1"),
        ({"where": 3}, "where must be a path or None, not 3"),
        ({"progress": 3}, "progress must be a function or None, not 3"),
        ({"what": None}, "what must be a text, not None"),
    ],
)
def test_options_are_checked_by_their_annotations(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(QkvError, match=f"^{said}$"):
        work(**{"what": "x", **arguments})


def test_good_options_pass_and_numbers_of_numpy_become_pythons() -> None:
    assert work("x") == ("x", 1, None, None, 1.0, {})
    found = work("x", np.int64(3), heat=np.float32(0.5), beam_size=np.uint8(4), rerank=True)
    assert found == ("x", 3, None, None, 0.5, {"beam_size": 4, "rerank": True})
    assert [type(found[1]), type(found[4]), type(found[5]["beam_size"])] == [int, float, int]
    assert work("x", where="a/b", heat=2)[2] == Path("a/b")  # type: ignore[arg-type]
    with pytest.raises(QkvError, match="work: missing a required argument: 'what'; it takes what, n"):
        work()  # type: ignore[call-arg]
    with pytest.raises(QkvError, match="work: too many positional arguments"):
        work("x", 1, None, None, 1.0, 6)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> dict[str, Any]:
    makers = {"classifier": tiny_vit, "painter": tiny_painter, "codes": tiny_codes, "scorer": tiny_scorer}
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "translator": qkv.load(model_folder),
        **{name: qkv.load(make(folder / name)) for name, make in makers.items()},
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_pipeline_checks_what_it_is_loaded_with(system: str, tmp_path: Path) -> None:
    load = find_system(system, "test").part("pipeline").Pipeline.load
    with pytest.raises(QkvError, match=r"load takes no 'devise'; did you mean 'device'\?"):
        load(tmp_path, devise="cpu")
    with pytest.raises(QkvError, match="folder must be a path, not 5"):
        load(5)


@pytest.mark.parametrize("device", ["gpu", "meta", 1.5, torch.device("meta")])
def test_a_device_that_is_not_here_is_refused(model_folder: Path, device: Any) -> None:
    with pytest.raises(QkvError, match=r"^device .*; leave it out, or choose cpu") as refused:
        qkv.load(model_folder, device=device)
    assert len(str(refused.value).splitlines()) == 1


def test_a_device_of_pytorch_is_taken(model_folder: Path) -> None:
    loaded = qkv.load(model_folder, device=torch.device("cpu"))
    assert {weight.device.type for weight in loaded.model.parameters()} == {"cpu"}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_an_accelerator_that_is_not_here_is_refused(model_folder: Path) -> None:
    with pytest.raises(QkvError, match=r"device 'cuda' cannot be used here: .*; leave it out, or choose cpu"):
        qkv.load(model_folder, device="cuda")


@pytest.mark.parametrize("given", [None, 5, b"multi30k"])
def test_what_names_no_model_is_refused(given: Any) -> None:
    with pytest.raises(QkvError, match="name_or_folder must be a text or a path, not"):
        qkv.load(given)


def test_columns_and_generators_work_in_every_pipeline(models: dict[str, Any]) -> None:
    translator, picture = models["translator"], np.full((8, 8, 3), 99, np.uint8)
    assert translator.translate(generated(), to="de") == translator.translate(WORDS, to="de")
    assert translator.translate(np.array(WORDS), to="de", beam_size=np.int64(2))[1].flags == ("empty",)
    classifier: Classifier = models["classifier"]
    both = classifier.classify(np.stack([picture, picture]), top_k=1)
    assert both == classifier.classify((one for one in [picture, picture]), top_k=1) and len(both) == 2
    assert [row[0].label for row in both] == [classifier.classify(picture)[0].label] * 2
    assert classifier.features(picture).shape == (1, 16)
    painter: Painter = models["painter"]
    drawn, listed = painter.draw(one for one in CAPTIONS), painter.draw(CAPTIONS)
    assert [row[0].tobytes() for row in drawn] == [row[0].tobytes() for row in listed]
    codes: Codes = models["codes"]
    assert torch.equal(codes.encode(one for one in [picture]), codes.encode([picture]))
    assert codes.decode(codes.encode(picture).numpy())[0].tobytes() == codes.decode(codes.encode(picture))[0].tobytes()
    scorer: Scorer = models["scorer"]
    assert torch.equal(scorer.embed_captions("a red bird"), scorer.embed_captions(["a red bird"]))
    assert scorer.score((one for one in [picture]), np.array(CAPTIONS[:2])).shape == (1, 2)


@pytest.mark.parametrize(
    ("system", "call", "said"),
    [
        ("translator", lambda model: model.translate(WORDS, to="de", beam=3), "did you mean 'beam_size'"),
        ("translator", lambda model: model.translate([None], to="de"), "text 1 of 1 is missing"),
        ("translator", lambda model: model.stream(b"x", to="de"), "text must be a text, not b'x'"),
        ("translator", lambda model: model.translate("x", to=None), "to must be a text"),
        ("classifier", lambda model: model.classify([None]), "picture 1 of 1 is missing"),
        ("classifier", lambda model: model.classify("x.png", top=3), "did you mean 'top_k'"),
        ("classifier", lambda model: model.stream(["x.png"], top_k=0), "top_k must be at least 1"),
        ("classifier", lambda model: model.features(None), "picture is missing"),
        ("classifier", lambda model: model.judge(None, []), "caption is missing"),
        ("painter", lambda model: model.draw("a red bird", n=1.5), "n must be a whole number, not 1.5"),
        ("painter", lambda model: model.draw([CAPTIONS[0], float("nan")]), "caption 2 of 2 is missing"),
        ("painter", lambda model: model.drawings("a red bird"), "a list of captions"),
        ("painter", lambda model: model.draw("a red bird", scorer="clip"), "scorer must be a model that judges"),
        ("painter", lambda model: model.frames(model.drawings(CAPTIONS[:1])[0][0], every=0), "every must be at least"),
        ("codes", lambda model: model.encode([None]), "picture 1 of 1 is missing"),
        ("codes", lambda model: model.decode("x"), "codes must be whole numbers from 0 to 8, .* of type str"),
        ("codes", lambda model: model.decode([[1]]), r"not numbers of shape \[1, 1\]"),
        ("codes", lambda model: model.decode(np.full((1, 4, 4), 9)), "not from 9 to 9"),
        ("codes", lambda model: model.decode(np.zeros((1, 4, 4))), "not torch.float64"),
        ("scorer", lambda model: model.score("x.png", None), "does not exist|caption is missing"),
        ("scorer", lambda model: model.embed_captions([5]), "caption 1 of 1 must be a text, not 5"),
        ("scorer", lambda model: model.embed_pictures([5]), "picture 1 of 1 must be a path"),
        ("scorer", lambda model: model.score("x.png", "a", prefix="y"), "score takes no 'prefix'"),
    ],
)
def test_every_pipeline_refuses_in_one_line(
    models: dict[str, Any], system: str, call: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(QkvError, match=said) as refused:
        call(models[system])
    assert len(str(refused.value).splitlines()) == 1
