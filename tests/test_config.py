from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from qkv.config import assign, parse, read_yaml
from qkv.errors import QkvError


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
