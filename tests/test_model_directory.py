import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from qkv import model_directory
from qkv.errors import QkvError
from qkv.model_directory import find_model, local_model, read_config, read_saved, read_weights, save_model, write_model
from qkv.runs.averaging import average_models


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(12.0).reshape(3, 4).T, "bias": torch.ones(3), "steps": torch.tensor([7])}


def save(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    write_model(
        folder, {"format": 1, "system": "translator", "directions": [["en", "de"]]}, weights, {"x.model": b"\0x"}
    )
    return folder


def test_round_trip(tmp_path, weights):
    folder = save(tmp_path / "model", weights)
    assert read_config(folder) == {"format": 1, "system": "translator", "directions": [["en", "de"]]}
    loaded = read_weights(folder)
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert (folder / "x.model").read_bytes() == b"\0x"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_half_precision_is_read_as_float32(tmp_path):
    folder = save(tmp_path / "model", {"a": torch.tensor([1.5, -2.0], dtype=torch.float16)})
    assert torch.equal(read_weights(folder)["a"], torch.tensor([1.5, -2.0]))
    assert read_weights(folder)["a"].dtype == torch.float32


def test_saving_replaces_and_a_failure_leaves_the_old_model(tmp_path, weights):
    folder = save(tmp_path / "model", weights)
    save(folder, {"a": torch.zeros(1)})
    assert list(read_weights(folder)) == ["a"]
    with pytest.raises(TypeError):
        write_model(folder, {"format": 1, "system": "translator", "x": object()}, {}, {})
    assert list(read_weights(folder)) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_find_model(tmp_path, weights, monkeypatch):
    model = save(tmp_path / "run" / "model", weights)
    assert find_model(model) == model
    assert find_model(str(tmp_path / "run")) == model
    monkeypatch.setattr(model_directory, "bundled_models", lambda: {"multi30k": model})
    assert find_model("multi30k") == model
    with pytest.raises(QkvError, match=r"no model 'multi3k'; did you mean multi30k\? bundled models: multi30k"):
        find_model("multi3k")
    with pytest.raises(QkvError, match="holds no model"):
        find_model(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "", "Two dogs/cats"])
def test_text_is_no_model(name):
    assert local_model(name) is None
    with pytest.raises(QkvError):
        find_model(name)


def test_hub_offline_is_one_clear_line(tmp_path, monkeypatch):
    import huggingface_hub

    def unreachable(name: str, allow_patterns: list[str]) -> str:
        assert not any("py" in pattern or "bin" in pattern for pattern in allow_patterns)
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        QkvError, match=r"no folder 'someone/model', and the Hugging Face Hub cannot be reached .*\(no route\)"
    ):
        find_model("someone/model")
    (tmp_path / "runs").mkdir()
    with pytest.raises(QkvError, match="bundled models"):
        find_model("runs/model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not of a qkv model"),
        ('{"model_type": "marian"}', "not of a qkv model"),
        ('{"format": 2, "system": "translator"}', "has format 2"),
    ],
)
def test_bad_config(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(QkvError, match=message) as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_bad_weights(tmp_path):
    with pytest.raises(QkvError, match=r"no model\.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 50)
    with pytest.raises(QkvError, match="cannot be read"):
        read_weights(tmp_path)


def test_all_files_are_as_readable_as_the_folder_owner_wants(tmp_path: Path) -> None:
    write_model(tmp_path / "m", {"format": 1, "system": "s"}, {"a": torch.zeros(1)}, {"README.md": b"x"})
    assert len({path.stat().st_mode for path in (tmp_path / "m").iterdir()}) == 1


CONFIG_OF_ALIKE = {"model": {"d_model": 4}}


def make_alike(folder: Path, value: float, **config) -> Path:
    stored = {"a": torch.full((2, 3), value, dtype=torch.float16)}
    config = {"model": {"d_model": 4, "dropout": value / 10}, **config}
    write_model(
        folder, {"format": 1, "system": "translator", **config}, stored, {"x.model": b"x", "README.md": b"card"}
    )
    return folder


def test_average_of_models(tmp_path):
    folders = [make_alike(tmp_path / str(value), value) for value in (1.0, 2.0, 6.0)]
    average_models(folders, tmp_path / "equal")
    average_models(folders[:2], tmp_path / "weighted", [1, 3])
    assert torch.equal(read_weights(tmp_path / "equal")["a"], torch.full((2, 3), 3.0))
    assert torch.equal(read_weights(tmp_path / "weighted")["a"], torch.full((2, 3), 1.75))
    assert read_config(tmp_path / "weighted") == read_config(folders[0])
    assert (tmp_path / "weighted" / "x.model").read_bytes() == b"x"
    assert "1.0: 25%" in (tmp_path / "weighted" / "README.md").read_text()
    size = (tmp_path / "weighted" / "model.safetensors").stat().st_size
    assert size == (folders[0] / "model.safetensors").stat().st_size  # stored in the precision that they had


def test_models_that_do_not_fit_are_not_averaged(tmp_path):
    first, out = make_alike(tmp_path / "first", 1.0), tmp_path / "out"
    wider = make_alike(tmp_path / "wider", 1.0, model={"d_model": 8})
    with pytest.raises(
        QkvError, match=r"wider and .*first cannot be averaged: model.d_model is 8 in one, 4 in the other"
    ):
        average_models([first, wider], out)
    other = make_alike(tmp_path / "other", 1.0)
    (other / "x.model").write_bytes(b"y")
    with pytest.raises(QkvError, match=r"x\.model differs"):
        average_models([first, other], out)
    write_model(tmp_path / "short", {"format": 1, "system": "translator", **CONFIG_OF_ALIKE}, {}, {"x.model": b"x"})
    with pytest.raises(QkvError, match="different names or sizes"):
        average_models([first, tmp_path / "short"], out)
    with pytest.raises(QkvError, match="two or more models"):
        average_models([first], out)
    with pytest.raises(QkvError, match="a positive share of each"):
        average_models([first, first], out, [1, 0])
    with pytest.raises(QkvError, match=r"other is there already"):
        average_models([first, first], other)
    assert not out.exists()


@dataclass(frozen=True)
class _Part:
    width: int


@dataclass(frozen=True)
class _Saved:
    system: ClassVar[str] = "translator"
    part: _Part
    names: tuple[str, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale must be positive, not {self.scale}")


def test_what_a_system_saves_is_read_back_and_checked(tmp_path: Path) -> None:
    saved = _Saved(_Part(3), ("a", "하나"), 0.5)
    save_model(tmp_path / "m", saved, {"a": torch.zeros(1)}, {})
    fields = {"format": 1, "system": "translator", "part": {"width": 3}, "names": ["a", "하나"], "scale": 0.5}
    assert read_config(tmp_path / "m") == fields
    assert read_saved(tmp_path / "m", _Saved) == saved
    for change, message in (
        ({"scale": -1}, "scale must be positive, not -1.0; restore the file"),
        ({"part": {"widht": 3}}, "unknown field 'part.widht'; did you mean 'width'"),
        ({"names": 3}, "names: Input should be a valid tuple, not 3"),
    ):
        write_model(tmp_path / "m", {**fields, **change}, {}, {})
        with pytest.raises(QkvError, match=rf"m/config.json.*{re.escape(message)}"):
            read_saved(tmp_path / "m", _Saved)
    write_model(tmp_path / "m", {"format": 1, "system": "translator"}, {}, {})
    with pytest.raises(QkvError, match="part: Field required"):
        read_saved(tmp_path / "m", _Saved)


def test_a_flipped_bit_of_weights_or_tokenizer_is_noticed(tmp_path: Path, weights) -> None:
    """One that hides a checksum changes no weight."""
    folder, draw, noticed = save(tmp_path / "m", weights), random.Random(1), 0
    for name in ("model.safetensors", "x.model"):
        content = (folder / name).read_bytes()
        for place in (*draw.sample(range(len(content)), min(60, len(content))), len(content) - 1):
            damaged = bytearray(content)
            damaged[place] ^= 1 << draw.randrange(8)
            (folder / name).write_bytes(damaged)
            try:
                found = read_weights(folder)
            except QkvError as error:
                assert re.search(
                    r"model (is damaged|cannot be read)|safetensors (is damaged|cannot be read)", str(error)
                )
                noticed += 1
            else:
                assert name == "model.safetensors" and all(torch.equal(found[one], weights[one]) for one in weights)
        (folder / name).write_bytes(content)
    assert noticed > 40
    assert read_weights(folder).keys() == weights.keys()


def test_models_of_older_versions_have_no_checksum_and_are_read(tmp_path: Path, weights) -> None:
    folder = save(tmp_path / "m", weights)
    stored = load_file(folder / "model.safetensors")
    save_file(stored, folder / "model.safetensors")
    (folder / "x.model").write_bytes(b"another")
    assert all(torch.equal(value, weights[name]) for name, value in read_weights(folder).items())


def test_the_same_model_is_written_as_the_same_bytes(tmp_path: Path, weights) -> None:
    folders = [save(tmp_path / str(number), weights) for number in range(5)]
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path, number: float) -> None:
    good, bad = torch.ones(50), torch.ones(7, 9)
    bad[3, 4] = number
    folder = save(tmp_path / "m", {"good": good, "layers.1.bad": bad})
    with pytest.raises(QkvError, match=r"model\.safetensors: layers\.1\.bad holds numbers that are infinite or none"):
        read_weights(folder)


def test_large_weights_are_numbers_although_their_sum_is_none(tmp_path: Path) -> None:
    large = torch.full((9,), 3e38)
    assert torch.equal(read_weights(save(tmp_path / "m", {"a": large, "b": -large}))["a"], large)


def test_loaded_weights_do_not_change_with_their_file(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", {"a": torch.ones(1000)})
    loaded = read_weights(folder)["a"]
    content = (folder / "model.safetensors").read_bytes()
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4000, 2)
        file.write(bytes(4000))
    assert len(content) == (folder / "model.safetensors").stat().st_size
    assert torch.equal(loaded, torch.ones(1000))


def test_no_config_holds_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match="infinite or none"):
        write_model(tmp_path / "m", {"format": 1, "system": "s", "temperature": float("nan")}, {}, {})
    assert not (tmp_path / "m").exists()
