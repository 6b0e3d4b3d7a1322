"""Names of classes: those that look the same are one, and those that nearly do are told."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from qkv.data.cache import read_record, write_record
from qkv.data.pictures.labels import Labels, alike, retold, tidy
from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.pictures.split import PictureSplit
from qkv.errors import QkvError
from qkv.reporter import Reporter

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("moon ", "moon"),
        ("\u00a0full \u3000 moon\t", "full moon"),
        (DECOMPOSED, COMPOSED),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("mo\u00adon\u200b\ufeff", "moon"),
        ("a\nb", "a b"),
        (" \u200b", ""),
    ],
)
def test_names_are_read_as_they_look(name: str, looks: str) -> None:
    assert tidy(name) == looks
    assert tidy(looks) == looks


@pytest.mark.parametrize("name", ["Moon", "한국", "👩‍👩‍👧", SCOTLAND, "نمی\u200cخواهم", "a-b_c", "①", "[red]"])
def test_other_names_stay(name: str) -> None:
    assert tidy(name) == name
    assert not retold([name], Path("t.csv"))


def write(folder: Path, *names: str, first: int = 0) -> None:
    for number, name in enumerate(names, first):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (2, 2), 2 * number + i).save(folder / name / f"{i}.png")


def table(folder: Path, labels: Sequence[str]) -> PictureSource:
    rows = (f"{number}.png,{label}\n" for number, label in enumerate(labels))
    (folder / "t.csv").write_text("image,label\n" + "".join(rows), encoding="utf-8")
    return PictureSource(table=str(folder / "t.csv"))


def told(pictures: Pictures) -> list[str]:
    return [pictures.classes[label] for label in pictures.labels]


def test_labels_of_a_table_that_look_the_same_are_one_class(tmp_path: Path) -> None:
    pictures = open_pictures(table(tmp_path, ["moon", "moon ", DECOMPOSED, COMPOSED, "moon "]))
    assert pictures.classes == (COMPOSED, "moon")
    assert told(pictures) == ["moon", "moon", COMPOSED, COMPOSED, "moon"]
    [note] = pictures.notes
    assert note.startswith(f"{tmp_path / 't.csv'}: 3 names of classes have stray blanks")
    assert "'moon ' as 'moon'" in note and rf"'cafe\u0301' as '{COMPOSED}'" in note
    assert not open_pictures(table(tmp_path, ["moon", "sun"])).notes
    with pytest.raises(QkvError, match="row 2 has no label"):
        open_pictures(table(tmp_path, ["moon", " "]))


def test_names_that_are_given_are_read_the_same_way(tmp_path: Path) -> None:
    source = table(tmp_path, [COMPOSED, "moon "])
    for classes in (["moon", DECOMPOSED], str(tmp_path / "names")):
        (tmp_path / "names").write_text(f"moon \n\n{DECOMPOSED}\n", encoding="utf-8")
        pictures = open_pictures(PictureSource(table=source.table, classes=classes))
        assert (pictures.classes, told(pictures)) == (("moon", COMPOSED), [COMPOSED, "moon"])
    with pytest.raises(QkvError, match="'moon' is there 2 times"):
        open_pictures(PictureSource(table=source.table, classes=["moon", "moon "]))


def test_class_folders_that_look_the_same_are_one_class(tmp_path: Path) -> None:
    write(tmp_path, "moon", "moon ", DECOMPOSED)
    pictures = open_pictures(PictureSource.of(tmp_path))
    assert pictures.classes == (COMPOSED, "moon")
    assert told(pictures) == [COMPOSED] * 2 + ["moon"] * 4
    assert "'moon ' as 'moon'" in pictures.notes[0]


def test_folders_whose_names_cannot_be_written_down_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "moon", "sun")
    os.rename(os.fsencode(tmp_path / "sun"), os.fsencode(tmp_path) + b"/K\xe4se")
    with pytest.raises(QkvError, match="folder is not UTF-8, and a class is named after it: rename it"):
        open_pictures(PictureSource.of(tmp_path))
    with pytest.raises(QkvError, match="the name of this folder is blank"):
        Labels.of_folders([0], [tmp_path / " "])


def test_classes_that_differ_in_case_alone_are_told_whatever_sources_they_are_of(tmp_path: Path) -> None:
    write(tmp_path / "a", "Moon", "sun")
    write(tmp_path / "b", "moon", "star", first=2)
    sources = [PictureSource.of(tmp_path / name) for name in "ab"]
    found = PictureSplit.open(sources, [], 0.3, tmp_path / "cache", 1, Reporter())
    assert found.classes == ("Moon", "sun", "moon", "star")
    assert list(found.notes) == [
        "classes 'Moon' and 'moon' differ in case alone: if they mean the same, give them one name"
    ]
    assert alike(["Straße", "STRASSE", "ＡＢ", "ab", "c"]) != []
    assert not alike(["moon", "sun", "0", "00"])


def test_a_run_that_began_with_decomposed_names_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "a", DECOMPOSED, "sun")
    sources, cache = [PictureSource.of(tmp_path / "a")], tmp_path / "cache"
    before = PictureSplit.open(sources, [], 0.3, cache, 1, Reporter())
    record = read_record(cache / "split.json")
    assert record["classes"] == [COMPOSED, "sun"]
    write_record(cache / "split.json", {**record, "classes": [DECOMPOSED, "sun"]})
    after = PictureSplit.open(sources, [], 0.3, cache, 1, Reporter())
    assert after.validation.places.tolist() == before.validation.places.tolist()
