"""Which pictures are trained and which validated on: each once, by name, whatever comes and goes beside it."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from qkv.config import parse
from qkv.data.pictures.sources import PictureSource
from qkv.data.pictures.split import PictureSet, PictureSplit
from qkv.errors import QkvError
from qkv.reporter import Reporter

COUNTS = {"ant": 40, "bee": 20, "cow": 1}


def pixels(name: object) -> bytes:
    """Four pixels that no other name has."""
    return crc32(str(name).encode()).to_bytes(4, "big")


def draw(file: Path) -> None:
    Image.frombytes("L", (2, 2), pixels(file)).save(file)


def write(folder: Path, counts: dict[str, int] = COUNTS) -> dict[str, str]:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            draw(folder / name / f"{i:02}.png")
    return {"folder": str(folder)}


def idx(folder: Path, numbers: list[int]) -> dict[str, str]:
    folder.mkdir(parents=True)
    heads = b"\0\0\x08\x03" + np.array([len(numbers), 2, 2], ">u4").tobytes(), b"\0\0\x08\x01"
    (folder / "idx3-images").write_bytes(heads[0] + b"".join(pixels(folder / f"{i}") for i in range(len(numbers))))
    (folder / "idx1-labels").write_bytes(heads[1] + np.array([len(numbers)], ">u4").tobytes() + bytes(numbers))
    return {"images": str(folder / "idx3-images"), "labels": str(folder / "idx1-labels")}


def table(path: Path, files: list[str], label: str = "ant") -> dict[str, str]:
    path.write_text("image,label\n" + "".join(f"{file},{label}\n" for file in files))
    return {"table": str(path)}


def split(
    *train: dict[str, str],
    cache: Path,
    validation: Sequence[dict[str, Any]] = (),
    holdout: float = 0.2,
    seed: int = 1,
) -> PictureSplit:
    sources = [[parse(PictureSource, source, "test") for source in part] for part in (train, validation)]
    return PictureSplit.open(*sources, holdout, cache, seed, Reporter())


def names(part: PictureSet) -> set[str]:
    found = [part.sources[source].name(number) for source, number in part.places.tolist()]
    assert len(set(found)) == len(found)
    return {"/".join(name.split("/")[-2:]) for name in found}


def classes_of(part: PictureSet) -> Counter[int]:
    return Counter(part.labels.tolist())


def test_the_same_share_of_each_class_is_held_out_and_nothing_twice(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    found = split(source, cache=tmp_path / "a")
    assert classes_of(found.validation) == {0: 8, 1: 4}  # one picture alone is kept for training
    assert classes_of(found.train) == {0: 32, 1: 16, 2: 1}
    assert not names(found.train) & names(found.validation)
    assert names(split(source, cache=tmp_path / "b").validation) == names(found.validation)
    other = names(split(source, cache=tmp_path / "c", seed=2).validation)
    assert len(other & names(found.validation)) < 10


@pytest.mark.parametrize("gone", ["train", "validation"])
def test_what_comes_and_goes_moves_no_other_picture(tmp_path: Path, gone: str) -> None:
    source = write(tmp_path / "f")
    before = split(source, cache=tmp_path / "cache")
    lost = sorted(names(getattr(before, gone)))[:5]
    for name in lost:
        (tmp_path / "f" / name).unlink()
    for i in range(10):
        draw(tmp_path / "f" / "ant" / f"{i:02}a.png")  # among the others, not behind them
    after = split(source, cache=tmp_path / "cache")
    assert names(after.validation) == names(before.validation) - set(lost)
    assert names(after.train) >= names(before.train) - set(lost)
    assert len(after.train) + len(after.validation) == 61 - 5 + 10


def test_in_a_new_run_hardly_a_picture_moves(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    before = names(split(source, cache=tmp_path / "a").validation)
    (tmp_path / "f" / "ant" / "00.png").unlink()
    after = names(split(source, cache=tmp_path / "b").validation)
    assert len(after ^ before) <= 2  # by position it would be nearly all


def test_moved_folders_give_the_same_choice(tmp_path: Path) -> None:
    before = names(split(write(tmp_path / "f"), cache=tmp_path / "a").validation)
    shutil.move(tmp_path / "f", tmp_path / "g")
    moved = {"folder": str(tmp_path / "g")}
    assert names(split(moved, cache=tmp_path / "a").validation) == before
    assert names(split(moved, cache=tmp_path / "b").validation) == before


def test_pictures_without_names_go_by_their_number(tmp_path: Path) -> None:
    def held_out(length: int) -> set[int]:
        source = idx(tmp_path / str(length), [0, 1] * (length // 2))
        return set(split(source, cache=tmp_path / "cache").validation.places[:, 1].tolist())

    assert len(held_out(40)) == 8
    assert held_out(60) == held_out(50)  # they begin with the same pictures, and the run goes on


def test_another_share_or_seed_chooses_anew(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    split(source, cache=tmp_path / "cache")
    assert len(split(source, cache=tmp_path / "cache", holdout=0.5).validation) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dog": 2}, "'dog' is new"),
        ({"cow": 0}, "'cow' is gone"),
    ],
)
def test_a_run_with_other_classes_does_not_go_on(tmp_path: Path, change: dict[str, int], message: str) -> None:
    source = write(tmp_path / "f")
    split(source, cache=tmp_path / "cache")
    for name, count in change.items():
        if count:
            write(tmp_path / "f", {name: count})
        else:
            shutil.rmtree(tmp_path / "f" / name)
    with pytest.raises(QkvError, match=rf"f: these are not the classes that the run began with \({message}\)") as error:
        split(source, cache=tmp_path / "cache")
    assert "\n" not in str(error.value)


def test_a_record_that_is_damaged_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    for content in ("{", "[]", "{}"):
        (tmp_path / "split.json").write_text(content)
        with pytest.raises(QkvError, match=r"split\.json cannot be read"):
            split(source, cache=tmp_path)


def test_a_source_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    (tmp_path / "link").symlink_to(tmp_path / "f")
    for again in (source, {"folder": str(tmp_path / "link")}, {"folder": f"{tmp_path}/link/../f"}):
        found = split(source, again, cache=tmp_path / "cache")
        assert len(found.train) + len(found.validation) == 61
        assert not names(found.train) & names(found.validation)
        assert [note for note in found.notes if "left out, 61 in all, that come up before" in note]


def test_what_is_validated_on_is_not_trained_on(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    held_out = table(tmp_path / "v.csv", ["f/ant/00.png", "f/ant/01.png", "f/ant/00.png"])
    found = split(source, cache=tmp_path / "cache", validation=(held_out,))
    assert names(found.validation) == {"ant/00.png", "ant/01.png"}
    assert len(found.train) == 59 and not names(found.train) & names(found.validation)
    assert [note.split(" in all")[0] for note in found.notes] == [
        f"{tmp_path}/v.csv: left out, 1",
        f"{tmp_path}/f: left out, 2",
    ]


@pytest.mark.parametrize("kind", ["folder", "idx"])
def test_validating_on_all_of_the_training_pictures_is_refused(tmp_path: Path, kind: str) -> None:
    source = write(tmp_path / "f") if kind == "folder" else idx(tmp_path / "f", [0, 1] * 10)
    with pytest.raises(QkvError, match=r"too few pictures to train and to validate on .* are in validation too"):
        split(source, cache=tmp_path / "cache", validation=(source,))


@pytest.mark.parametrize("way", ["link", "copy"])
def test_a_picture_under_two_names_is_one(way: str, tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    before = split(source, cache=tmp_path / "a")
    for file in sorted((tmp_path / "f").rglob("*.png")):
        other = file.with_name(f"{file.stem}_2.png")
        other.hardlink_to(file) if way == "link" else shutil.copy(file, other)
    for cache in ("b", "b", "a"):  # a new run, one that goes on, and one that began before the copies were made
        after = split(source, cache=tmp_path / cache)
        for part in ("train", "validation"):
            assert names(getattr(after, part)) == names(getattr(before, part))
        assert list(after.notes) == [
            "left out, 61 copies of pictures that come up before or are in validation too, such as "
            f"{tmp_path}/f/ant/00_2.png of {tmp_path}/f/ant/00.png"
        ]


def test_copies_that_come_before_what_is_held_out_already_are_not_trained_on(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    before = split(source, cache=tmp_path / "cache")
    held_out = names(before.validation)
    for name in held_out:
        shutil.copy(tmp_path / "f" / name, tmp_path / "f" / name.replace("/", "/!"))
    after = split(source, cache=tmp_path / "cache")
    assert (names(after.train), names(after.validation)) == (names(before.train), held_out)


def test_copies_across_sources_and_classes_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    (tmp_path / "v" / "ant").mkdir(parents=True)
    shutil.copy(tmp_path / "f" / "ant" / "07.png", tmp_path / "v" / "ant" / "a.png")
    shutil.copy(tmp_path / "f" / "ant" / "07.png", tmp_path / "v" / "ant" / "b.png")  # is measured as it is
    shutil.copy(tmp_path / "f" / "ant" / "08.png", tmp_path / "f" / "bee" / "like an ant.png")
    found = split(source, cache=tmp_path / "cache", validation=({"folder": str(tmp_path / "v")},))
    assert names(found.validation) == {"ant/a.png", "ant/b.png"}
    assert len(found.train) == 60 and not names(found.train) & {"ant/07.png", "bee/like an ant.png"}
    copies, strange = found.notes
    assert "left out, 2 copies" in copies and "f/ant/07.png of" in copies and "v/ant/a.png" in copies
    assert strange.startswith("left out, 1 of these copies though they are of another class, such as ")
    assert strange.endswith(f"like an ant.png (bee) of {tmp_path}/f/ant/08.png (ant)")


def test_rows_of_a_file_are_told_apart_by_their_number(tmp_path: Path) -> None:
    source = idx(tmp_path / "f", [0, 1] * 10)
    found = split(source, cache=tmp_path / "cache")
    assert len(found.train) + len(found.validation) == 20 and not found.notes
    (tmp_path / "link").symlink_to(tmp_path / "f")
    again = {name: path.replace("/f/", "/link/") for name, path in source.items()}
    assert len(split(source, again, cache=tmp_path / "cache").train) == len(found.train)


def test_folders_that_are_named_after_numbers_have_names(tmp_path: Path) -> None:
    digits = {"0": 3, "1": 3, "10": 3, "2": 3}
    validation = write(tmp_path / "v", {"0": 2, "1": 2})  # the numbers 0 and 1, would they be numbers
    found = split(write(tmp_path / "f", digits), cache=tmp_path / "a", validation=(validation,))
    assert found.classes == ("0", "1", "10", "2")
    named = split(write(tmp_path / "n", {"0": 3, "1": 3, "cat": 3}), cache=tmp_path / "b", validation=(validation,))
    assert classes_of(named.validation) == {0: 2, 1: 2}


def test_numbers_and_folders_named_after_them_go_together(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"2": 3, "0": 3, "1": 3})
    found = split(folder, cache=tmp_path / "a", validation=(idx(tmp_path / "n", [2, 0, 0]),))
    assert classes_of(found.validation) == {2: 1, 0: 2}
    with pytest.raises(QkvError, match=r"f names its classes, but .*n/idx3-images numbers them"):
        split(write(tmp_path / "g" / "f", {"00": 3, "01": 3}), idx(tmp_path / "m" / "n", [0]), cache=tmp_path / "b")


def test_files_that_are_passed_over_are_named_and_counted(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    for name in ("ant/a.heic", "ant/deep/b.txt", "bee/c", "bee/.hidden", "notes.txt"):
        (tmp_path / "f" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "f" / name).write_text("")
    (tmp_path / "f" / "bee" / "dead.png").symlink_to(tmp_path / "nowhere.png")
    Image.new("L", (2, 2)).save(tmp_path / "f" / "loose.png")
    found = split(source, cache=tmp_path / "cache")
    (note,) = found.notes
    assert f"{tmp_path}/f: passed over, 4 in all, " in note
    assert any("dead.png does not exist" in line for line in found.unreadable)
    assert all(name in note for name in ("loose.png", "ant/a.heic", "ant/deep/b.txt")) and note.endswith(", …")


def test_pictures_without_classes_are_divided_by_a_column_of_their_table(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for i in range(9):
        Image.new("L", (2, 2), i).save(folder / f"{i}.png")
    (folder / "t.csv").write_text(
        "image,part\n" + "".join(f"{i}.png,{'val' if i % 3 else 'train'}\n" for i in range(9))
    )
    parts = [[PictureSource(table=str(folder / "t.csv"), where={"part": part})] for part in ("train", "val")]
    found = PictureSplit.open(*parts, 0.1, tmp_path / "cache", 1, Reporter(), labelled=False)
    shown = [
        [part.picture(i, 1, 2).getpixel((0, 0)) for i in range(len(part))] for part in (found.train, found.validation)
    ]
    assert shown == [[0, 3, 6], [1, 2, 4, 5, 7, 8]]
    assert not found.notes
    everything = [PictureSource(folder=str(folder))]
    held = PictureSplit.open(everything, [], 1 / 3, tmp_path / "held", 1, Reporter(), labelled=False)
    assert (len(held.train), len(held.validation)) == (6, 3)
    assert not names(held.train) & names(held.validation)


def test_a_class_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    (tmp_path / "f" / "cow" / "00.png").write_text("no picture")
    with pytest.raises(QkvError, match="of the class 'cow' no picture is left to train on"):
        split(source, cache=tmp_path / "cache")


def test_a_run_does_not_lie_among_its_pictures(tmp_path: Path) -> None:
    source = write(tmp_path / "f")
    for cache in ("f/run/data", "f/data", "f/ant/../run/data"):
        with pytest.raises(QkvError, match=r"would lie among the pictures of .*f: choose another --out"):
            split(source, cache=tmp_path / cache)
        assert not (tmp_path / cache).exists()
    (tmp_path / "f" / "ant" / "data").mkdir()  # one from before goes on
    split(source, cache=tmp_path / "f" / "ant" / "data")
