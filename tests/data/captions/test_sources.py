"""Sources of captioned pictures: each kind gives its pictures with their captions, and names what is wrong."""

import json
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from qkv.config import parse
from qkv.data import table as picture_table
from qkv.data.captions.measure import CaptionMeasure, measure_captions
from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionedPictures, CaptionSource
from qkv.data.unreadable import survey
from qkv.errors import QkvError
from qkv.reporter import Reporter


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("L", (3, 2), value).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def opened(tmp_path: Path, **fields: Any) -> CaptionedPictures:
    source = parse(CaptionSource, fields, "test")
    return open_source(source, tmp_path / "cache", Reporter())


def contents(source: CaptionedPictures) -> list[tuple[int, list[tuple[str, str]]]]:
    """Brightness and captions of every picture."""
    return [(source.pictures.picture(i, 1).getpixel((0, 0)), source.texts(i)) for i in range(len(source))]


def faults(source: CaptionedPictures) -> list[str]:
    found = []
    for index in range(len(source)):
        try:
            source.check(index)
        except QkvError as error:
            found.append(str(error))
    return found


def test_a_folder_with_captions_beside_the_pictures(tmp_path: Path) -> None:
    write(
        tmp_path / "f",
        {
            "a.b.png": png(1),
            "a.b.txt": "\ufeffone\r\n\n another \u2028 line \n",
            "deep/c.png": png(2),
            "deep/c.txt": "zwei",
            "none.png": png(3),
            "blank.png": png(4),
            "blank.txt": " \n\n",
            "latin.png": png(5),
            "latin.txt": "é".encode("latin-1"),
            "broken.png": "no picture",
            "broken.txt": "x",
            "README.txt": "about",
        },
    )
    source = opened(tmp_path, folder=str(tmp_path / "f"), language="de")
    good = [i for i in range(len(source)) if "c.png" in source.pictures.name(i) or "a.b" in source.pictures.name(i)]
    assert [source.texts(i) for i in good] == [[("de", "one"), ("de", "another \u2028 line")], [("de", "zwei")]]
    wrong = "\n".join(faults(source))
    assert len(faults(source)) == 4
    assert "none.txt does not exist" in wrong and "blank.png has no caption" in wrong
    assert "latin.txt is not UTF-8: byte 0" in wrong and "broken.png is not a picture" in wrong
    assert source.notes == [f"1 .txt files have no picture beside them, such as {tmp_path}/f/README.txt"]


def test_rows_of_a_table_with_one_path_are_one_picture(tmp_path: Path) -> None:
    write(tmp_path, {"p/1.png": png(1), "p/2.png": png(2)})
    table = 'file,caption,more\np/1.png,NA,007\np/2.png,"two, quoted",\np/1.png,again,true\n,no picture,x\n'
    write(tmp_path, {"t.csv": table})
    fields = {"table": str(tmp_path / "t.csv"), "image_column": "file", "captions": ["caption", "more"]}
    source = opened(tmp_path, **fields)
    assert len(source) == 3
    assert [source.texts(i) for i in range(2)] == [
        [("und", text) for text in ("NA", "007", "again", "true")],
        [("und", "two, quoted"), ("und", "")],
    ]
    assert [source.pictures.picture(i, 1).getpixel((0, 0)) for i in range(2)] == [1, 2]
    assert faults(source) == [f"{tmp_path}/t.csv, row 4 has no picture: complete it, or take it out"]


def test_a_table_of_json_lines(tmp_path: Path) -> None:
    write(tmp_path, {"1.png": png(1), "2.png": png(2)})
    rows = [
        {"image": "1.png", "en": ["one", "uno\ud800"], "ko": "하나", "split": 1},
        {"image": "2.png", "en": "two", "split": 1},
        {"image": "2.png", "en": "not chosen", "split": 2},
        {"image": "3.png", "en": 5, "split": 1},
    ]
    write(tmp_path, {"t.jsonl": "\n\n".join(map(json.dumps, rows))})
    fields = {"table": str(tmp_path / "t.jsonl"), "captions": {"en": "en", "ko": ["ko"]}}
    source = opened(tmp_path, **fields, where={"split": 1})
    assert [source.texts(i) for i in range(2)] == [
        [("en", "one"), ("en", "uno\ufffd"), ("ko", "하나")],
        [("en", "two"), ("ko", "")],
    ]
    with pytest.raises(QkvError, match=r"t.jsonl, line 7, 'en' holds '5', which is no text"):
        source.texts(2)
    with pytest.raises(QkvError, match=r"no row has '3' as split; .*1.*2"):
        opened(tmp_path, **fields, where={"split": 3})
    with pytest.raises(QkvError, match=r"no key 'eng'; did you mean 'en'\?"):
        opened(tmp_path, table=fields["table"], captions="eng")
    write(tmp_path, {"bad.jsonl": '{"image": "1.png"}\n{"image"\n'})
    with pytest.raises(QkvError, match=r"bad.jsonl, line 2: not JSON"):
        opened(tmp_path, table=str(tmp_path / "bad.jsonl"))


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_with_pictures_and_captions_in_languages(nested: bool, tmp_path: Path) -> None:
    images = [png(7), png(8), b"broken", None]
    column = [{"bytes": image, "path": None} for image in images] if nested else images
    columns = {
        "picture": column,
        "caption_en": ["seven", "eight", "x", "y"],
        "caption_ko": [["일곱", "칠"], ["여덟"], [], None],
        "split": ["train", "val", "train", "train"],
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    fields = {
        "table": str(tmp_path / "t.parquet"),
        "image_column": "picture",
        "captions": {"en": "caption_en", "ko": "caption_ko"},
    }
    train = opened(tmp_path, **fields, where={"split": "train"})
    assert (len(train), train.texts(0)) == (3, [("en", "seven"), ("ko", "일곱"), ("ko", "칠")])
    assert train.pictures.picture(0, 1).getpixel((0, 0)) == 7
    assert [line.split(" (")[0].split(" of a")[0] for line in faults(train)] == [
        f"{tmp_path}/t.parquet, row 3 is not a picture",
        f"{tmp_path}/t.parquet, row 4 has no picture: complete it, or take it out",
    ]
    assert contents(opened(tmp_path, **fields, where={"split": "val"})) == [(8, [("en", "eight"), ("ko", "여덟")])]
    with pytest.raises(QkvError, match=r"no row has 'trian' as split; did you mean 'train'\?"):
        opened(tmp_path, **fields, where={"split": "trian"})
    with pytest.raises(QkvError, match=r"column 'split' holds"):
        parquet.write_table(pa.table({"split": [1], "caption": ["a"]}), tmp_path / "n.parquet")
        opened(tmp_path, table=str(tmp_path / "n.parquet"), image_column="split")


def test_pictures_in_large_tables_are_mapped_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_table, "_IN_MEMORY", 0)
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": [png(1), png(2)], "caption": ["one", "two"], "n": [1, 2]}), path)
    source = opened(tmp_path, table=str(path), where={"n": 2})
    assert contents(source) == [(2, [("und", "two")])]
    assert len(list((tmp_path / "cache").glob("column-*.arrow"))) == 3


def idx(folder: Path, labels: list[int]) -> dict[str, Any]:
    heads = b"\0\0\x08\x03" + np.array([len(labels), 2, 2], ">u4").tobytes(), b"\0\0\x08\x01"
    pixels = bytes(value for value in range(len(labels)) for _ in range(4))
    write(folder, {"idx3-images": heads[0] + pixels})
    write(folder, {"idx1-labels": heads[1] + np.array([len(labels)], ">u4").tobytes() + bytes(labels)})
    return {"images": str(folder / "idx3-images"), "classes": ["bag", "Ankle boot"]}


def test_labels_become_captions_by_templates(tmp_path: Path) -> None:
    labelled = idx(tmp_path, [1, 0])
    templates = ["a photo of {label}", "{label}, {x.__class__}"]
    source = opened(tmp_path, labelled=labelled, templates=templates, names={"Ankle boot": "an ankle boot"})
    assert contents(source) == [
        (0, [("und", "a photo of an ankle boot"), ("und", "an ankle boot, {x.__class__}")]),
        (1, [("und", "a photo of bag"), ("und", "bag, {x.__class__}")]),
    ]
    names = {"ko": {"bag": "가방", "Ankle boot": "앵클 부츠"}}
    source = opened(tmp_path, labelled=labelled, templates={"en": ["{label}"], "ko": ["{label} 사진"]}, names=names)
    assert source.texts(1) == [("en", "bag"), ("ko", "가방 사진")]
    with pytest.raises(QkvError, match=r"names has 'boot', which is no class of it; did you mean 'Ankle boot'\?"):
        opened(tmp_path, labelled=labelled, names={"boot": "a boot"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "either a folder, a table, shards or labelled pictures"),
        ({"folder": "f", "table": "t.csv"}, "either a folder"),
        ({"table": "t.xls"}, "t.xls must be a file that ends in .csv, .jsonl, .parquet"),
        ({"folder": "f", "captions": "x"}, "columns of a table or keys in shards"),
        ({"folder": "f", "where": {"a": "b"}}, "where chooses rows of a table"),
        ({"folder": "f", "templates": ["{label}"]}, "belong to labelled pictures"),
        ({"labelled": {"folder": "f"}, "templates": ["a photo"]}, "'a photo' lacks {label}"),
        ({"labelled": {"folder": "f"}, "templates": {"en": ["{label}"]}, "names": {"a": "b"}}, "by language and class"),
        ({"table": "t.csv", "captions": {"en": []}}, "needs a column or template"),
        ({"table": "t.csv", "captions": {}}, "there must be one language"),
        (
            {"labelled": {"folder": "f"}, "templates": {"en": ["{label}"]}, "names": {"de": {"a": "b"}}},
            "names are given in de, but no templates",
        ),
        ({"labelled": {"folders": "f"}}, "unknown field 'labelled.folders'; did you mean 'folder'"),
    ],
)
def test_sources_that_contradict_themselves(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(QkvError) as error:
        parse(CaptionSource, fields, "test")
    assert said in str(error.value)


def test_what_a_path_means_and_how_much_there_is(tmp_path: Path) -> None:
    console = Reporter()
    write(tmp_path / "f", {"a.png": png(1), "a.txt": "four\n", "b.png": png(2), "b.txt": "새 여\n\n", "c.png": png(3)})
    write(tmp_path, {"t.csv": "image,caption\nf/a.png,a caption\n", "u.CSV": "image,caption\nf/a.png,\n"})
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        for file in ("a.png", "a.txt"):
            shard.add(tmp_path / "f" / file, file)
    measures = []
    for name, pictures, longest in (("f", 3, 7), ("t.csv", 1, 9), ("s.tar", 1, 4)):
        measures.append(measure_captions(CaptionSource.of(tmp_path / name), console))
        assert replace(measures[-1], vocabulary=0) == CaptionMeasure(pictures, side=2, channels=1, longest=longest)
    assert replace(CaptionMeasure.joined(measures), vocabulary=0) == CaptionMeasure(5, side=2, channels=1, longest=9)
    with pytest.raises(QkvError, match=r"u\.CSV: no picture has a caption$"):
        measure_captions(CaptionSource.of(tmp_path / "u.CSV"), console)
    for file in (tmp_path / "f").glob("*.txt"):
        file.unlink()
    with pytest.raises(QkvError, match=r"f: no picture has a caption; the last tried: .*c\.txt does not exist"):
        measure_captions(CaptionSource.of(tmp_path / "f"), console)
    with pytest.raises(QkvError, match=r"none\.zip holds no captioned pictures: give a folder"):
        CaptionSource.of(tmp_path / "none.zip")


def test_missing_places(tmp_path: Path) -> None:
    for fields in ({"folder": "no"}, {"table": "no.csv"}, {"table": "no.jsonl"}, {"table": "no.parquet"}):
        with pytest.raises(QkvError, match=r"no(\.\w+)? (is no folder|does not exist)"):
            opened(tmp_path, **fields)


def test_things_are_checked_once_but_those_with_a_fault_each_time(tmp_path: Path) -> None:
    faulty, checked = {1, 70}, []

    def check(index: int) -> int:
        checked.append(index)
        if index in faulty:
            raise QkvError(f"{index} is broken")
        return 2**64 - 1 - index

    def find(state: str = "s") -> dict[int, str]:
        checked.clear()
        faults, found = survey(check, 100, state, "checking", tmp_path / "cache", Reporter())
        assert all(int(found[index]) == 2**64 - 1 - index for index in range(100) if index not in faults)
        return faults

    assert find() == {1: "1 is broken", 70: "70 is broken"}
    assert sorted(checked) == list(range(100))
    faulty.remove(1)  # mended in a way that the state does not tell
    assert find() == {70: "70 is broken"}
    assert checked == [1, 70]
    assert find("another state") == {70: "70 is broken"}
    assert len(checked) == 100
