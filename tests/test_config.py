import string
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from qkv.config import assign, parse, read_yaml
from qkv.errors import QkvError, shown


@dataclass(frozen=True)
class Inner:
    d_model: int = 8
    activation: Literal["relu", "gelu"] = "relu"

    def __post_init__(self) -> None:
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, not {self.d_model}")


@dataclass(frozen=True)
class Other:
    kind: Literal["narrow", "wide"] = "wide"
    width: int = 1

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be positive")


@dataclass(frozen=True)
class Usual:
    height: int = 2
    width: int = 3
    kind: Literal["usual"] = "usual"


@dataclass(frozen=True)
class Outer:
    name: str
    model: Inner = field(default_factory=Inner)
    many: list[Inner] = field(default_factory=list)
    maybe: Inner | None = None
    either: Usual | Other = field(default_factory=Usual)


def test_parse_builds_nested_dataclasses() -> None:
    outer = parse(Outer, {"name": "a", "model": {"d_model": 4}, "many": [{}, {"activation": "gelu"}]}, "r.yaml")
    assert outer == Outer("a", Inner(4), [Inner(), Inner(activation="gelu")])


def test_kind_says_which_dataclass_a_section_is() -> None:
    def either(**section: object) -> Usual | Other:
        return parse(Outer, {"name": "a", "either": section}, "r.yaml").either

    assert either() == either(width=3) == either(kind="usual") == Usual()  # the first is meant where none is named
    assert either(kind="wide") == Other()
    assert either(kind="narrow", width="4") == Other("narrow", 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a", "either": {"kind": "wied"}}, "r.yaml: either.kind is 'wied'; did you mean 'wide'?"),
        ({"name": "a", "either": {"kind": ["wide"]}}, r"r.yaml: either.kind is \['wide'\]; "),
        (
            {"name": "a", "either": {"kind": "wide", "height": 1}},
            "unknown field 'either.height'; choose from kind",
        ),
        ({"name": "a", "either": {"kind": "wide", "width": "x"}}, "r.yaml: either.width: .*, not 'x'"),
        ({"name": "a", "either": {"kind": "wide", "width": 0}}, "r.yaml: either: width must be positive$"),
        ({"name": "a", "either": 3}, "r.yaml: either.*, not 3"),
        ({"name": "a", "model": {"d_modl": 4}}, "r.yaml: unknown field 'model.d_modl'; did you mean 'd_model'?"),
        ({"name": "a", "many": [{}, {"x": 1}]}, "r.yaml: unknown field 'many.1.x'; choose from activation, d_model"),
        ({"name": "a", "maybe": {"activatoin": 1}}, "unknown field 'maybe.activatoin'; did you mean 'activation'?"),
        ({}, "r.yaml: name: "),
        ({"name": "a", "model": {"d_model": "wide"}}, "r.yaml: model.d_model: .*, not 'wide'"),
        ({"name": "a", "model": {"d_model": 3}}, "r.yaml: model: d_model must be even, not 3$"),
        ({"name": "a", "model": {"activation": "tanh"}}, "r.yaml: model.activation: .*'relu' or 'gelu', not 'tanh'"),
    ],
)
def test_bad_fields_are_refused_in_one_line(data: dict[str, object], message: str) -> None:
    with pytest.raises(QkvError, match=message) as caught:
        parse(Outer, data, "r.yaml")
    assert "\n" not in str(caught.value)


def test_assign_sets_nested_fields_and_leaves_the_original() -> None:
    data = {"model": {"d_model": 4}}
    assert assign(data, ["model.d_model=8", "training.warmup=5", "name=x=y"]) == {
        "model": {"d_model": 8},
        "training": {"warmup": 5},
        "name": "x=y",
    }
    assert data == {"model": {"d_model": 4}}


@pytest.mark.parametrize("assignment", ["model.d_model", "=3", "name.first=1", "name=[1"])
def test_bad_assignments_are_refused(assignment: str) -> None:
    with pytest.raises(QkvError, match=r"--set"):
        assign({"name": "a"}, [assignment])


def test_read_yaml_refuses_what_is_no_mapping(tmp_path: Path) -> None:
    for content in (b"- 1", b"a: [", b"\xff\xfe\x00"):
        (tmp_path / "r.yaml").write_bytes(content)
        with pytest.raises(QkvError, match=r"r\.yaml"):
            read_yaml(tmp_path / "r.yaml")
    with pytest.raises(QkvError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")


NAMES = list(pairwise("abcdefghi"))
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in NAMES)
MERGED = "a: &a {x: 1, y: 2}\n" + "".join(f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 10)}]}}\n" for a, b in NAMES)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(500))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 6: with every alias written out it holds more than 100,000 values"),
        (MERGED, "with every alias written out it holds more than 100,000 values"),
        (CHAIN, "nested deeper than 32 levels"),
        ("x: &x [*x]", "an alias stands for what it is part of"),
        ("x: &x {y: *x}", "an alias stands for what it is part of"),
        ("x: " + "[" * 10_000, "nested deeper than 32 levels"),
        ("x: " + "{a: " * 3000 + "1" + "}" * 3000, "nested deeper than 32 levels"),
        ("x: 1\ny: 2\nx: 3", "line 3: 'x' is there twice"),
        ("m:\n  x: 1\n  'x': 2", "line 3: 'x' is there twice"),
        ("x: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("x: !!int ''", "is not valid YAML"),
        ("x: !!timestamp soon", "is not valid YAML"),
        ("x: !!bool perhaps", "is not valid YAML"),
        ("x: 2020-13-45", "month must be in 1..12"),
        ("x: " + "9" * 5000, "is not valid YAML"),
        ("? [1, 2]\n: 3", "unhashable key"),
        ("x: 1\n---\ny: 2", "another document"),
        ("x: \0", "is not valid YAML"),
        ("#" * 2**20 + "\n", "is larger than 1 MiB"),
    ],
)
def test_yaml_that_is_too_much_or_none_is_one_short_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(QkvError) as caught:
        read_yaml(tmp_path / "r.yaml")
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "r.yaml")) and said in message
    assert len(message) < 400 and "\n" not in message


def test_aliases_and_merges_of_usual_size_mean_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("base: &base {a: 1, b: [2]}\nmore: {<<: *base, a: 3}\nagain: *base\n")
    data = read_yaml(tmp_path / "r.yaml")
    assert data == {"base": {"a": 1, "b": [2]}, "more": {"a": 3, "b": [2]}, "again": {"a": 1, "b": [2]}}
    assert list(data) == ["base", "more", "again"]


@pytest.mark.parametrize("value", [f"[{BOMB}", "&x [*x]", "[" * 5000, "!!int ''", "2020-13-45", "{a: 1, a: 2}", "\0"])
def test_assigned_yaml_is_bounded_too(value: str) -> None:
    with pytest.raises(QkvError, match=r"--set name=.*: the value is not valid YAML") as caught:
        assign({}, [f"name={value}"])
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
    with pytest.raises(QkvError, match=r"--set .*: write it as section.field=value"):
        assign({}, ["a." * 30_000 + "b=1"])


@dataclass(frozen=True)
class Numbers:
    count: int = 1
    share: float = 0.5
    few: tuple[float, ...] = ()
    by_name: dict[str, float] = field(default_factory=dict)
    text: str = ""
    maybe: int | None = None


@pytest.mark.parametrize(
    "data",
    [
        *({"share": value} for value in (float("nan"), float("inf"), "nan", "-Infinity", True, [1.0], {}, None)),
        *({"count": value} for value in (True, 10**30, -(10**30), 2**63, float("nan"), 1.5, [1], "many", None)),
        {"few": [1.0, float("nan")]},
        {"few": ["inf"]},
        {"few": [False]},
        {"by_name": {"a": float("inf")}},
        {"by_name": {"a": True}},
        {"maybe": True},
        {"text": 3},
        {"text": "x" * 10**6, "count": "x" * 10**6},
        {"y" * 10**6: 1},
    ],
    ids=lambda data: shown(data)[:60],
)
def test_numbers_are_finite_and_of_the_right_type(data: dict[str, object]) -> None:
    with pytest.raises(QkvError, match=r"^r\.yaml: ") as caught:
        parse(Numbers, data, "r.yaml")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_numbers_may_be_written_as_text() -> None:
    """YAML takes 1e-3 for text."""
    assert parse(Numbers, {"share": "1e-3", "count": "7", "few": ["2"]}, "r.yaml") == Numbers(7, 1e-3, (2.0,))
    assert parse(Numbers, {"text": "nan"}, "r.yaml").text == "nan"


DEEP = [[[[0] * 50] * 50] * 50] * 50


@pytest.mark.parametrize(
    "value",
    [10**5000, DEEP, "\x1b[31m\n" * 500, {i: i for i in range(999)}, {*range(999)}, None],
    ids=lambda value: type(value).__name__,
)
def test_what_a_message_shows_is_short_and_plain(value: object) -> None:
    assert len(shown(value)) < 200
    assert set(shown(value)) <= {*string.printable} - {*"\n\r\t\x0b\x0c"}
