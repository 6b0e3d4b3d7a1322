"""Tables as they come: text that looks like something else, missing cells, names that a file brings along, size."""

import json
import tempfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from qkv.config import parse
from qkv.data import table as picture_table
from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import PictureSource
from qkv.data.table import choose_rows
from qkv.errors import QkvError
from qkv.reporter import Reporter


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("L", (3, 2), value).save(file, "PNG")
    return file.getvalue()


def table(path: Path, images: list[object], labels: list[object], **metadata: str) -> PictureSource:
    parquet.write_table(pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata), path)
    return PictureSource(table=str(path))


def labels_of(tmp_path: Path, rows: list[str], classes: list[str] | None = None) -> tuple[list[int], tuple[str, ...]]:
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *(f"{i}.png,{row}" for i, row in enumerate(rows))]))
    pictures = open_pictures(PictureSource(table=str(tmp_path / "t.csv"), classes=classes))
    return pictures.labels.tolist(), pictures.classes


@pytest.mark.parametrize(
    ("rows", "classes"),
    [
        (["NA", "null", "NA"], ("NA", "null")),
        (["true", "false"], ("false", "true")),
        (["2020-01-01", "x"], ("2020-01-01", "x")),
        (["001", "002"], ("001", "002")),
        (["2", "0"], ("0", "1", "2")),
    ],
)
def test_labels_in_csv_are_text_unless_all_are_numbers(rows: list[str], classes: tuple[str, ...], tmp_path: Path):
    assert labels_of(tmp_path, rows) == ([classes.index(row) for row in rows], classes)


def test_numbers_count_names_unless_they_are_names(tmp_path: Path) -> None:
    assert labels_of(tmp_path, ["1", "0"], ["a", "b"]) == ([1, 0], ("a", "b"))
    assert labels_of(tmp_path, ["7", "3"], ["7", "3"]) == ([0, 1], ("7", "3"))
    for wrong, said in (
        (["0", "2"], "row 2: label 2, but 2 classes are numbered from 0 to 1"),
        (["0", ""], "row 2 has"),
    ):
        with pytest.raises(QkvError, match=said):
            labels_of(tmp_path, wrong, ["a", "b"])
    with pytest.raises(QkvError, match="'a' is there 2 times"):
        labels_of(tmp_path, ["0"], ["a", "a"])


def test_a_number_that_is_no_class_makes_no_million_classes(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match="row 2: label 123456789"):
        labels_of(tmp_path, ["0", "123456789"])


def test_a_table_may_name_its_classes_and_point_at_files(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(9))
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    images = [{"bytes": png(4), "path": None}, {"bytes": None, "path": "x.png"}]
    source = table(tmp_path / "t.parquet", images, [1, 0], huggingface=json.dumps(names))
    pictures = open_pictures(source)
    assert pictures.classes == ("cat", "dog")
    assert [pictures.picture(i, 1).getpixel((0, 0)) for i in (0, 1)] == [4, 9]


def test_a_row_without_a_picture_is_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    pictures = open_pictures(table(tmp_path / "t.parquet", [png(1), None], [0, 1]))
    with pytest.raises(QkvError, match=r"t\.parquet, row 2 has no picture"):
        pictures.picture(1, 1)
    with pytest.raises(QkvError, match="row 2 has no label"):
        open_pictures(table(tmp_path / "u.parquet", [png(1), png(2)], [0, None]))
    with pytest.raises(QkvError, match="'image' holds int64, neither"):
        open_pictures(table(tmp_path / "v.parquet", [1, 2], [0, 1]))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_large_tables_are_memory_mapped(kept: bool, nested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picture_table, "_IN_MEMORY", 1000)
    monkeypatch.setattr(picture_table, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images = [{"bytes": png(i), "path": None} if nested else png(i) for i in range(40)]
    source = table(tmp_path / "t.parquet", images, [i % 3 for i in range(40)])
    for _ in range(2):
        before = pa.total_allocated_bytes()
        pictures = open_pictures(source, tmp_path / "cache" if kept else None)
        assert pa.total_allocated_bytes() - before < 1000
        shown = [pictures.picture(i, 1).getpixel((0, 0)) for i in (39, 0, 8)]
        assert shown == [39, 0, 8]
    made = [path.name for path in tmp_path.rglob("*") if path.suffix == ".arrow"]
    assert len(made) == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == (["cache"] if kept else []) + ["t.parquet"]


def test_a_divided_folder_and_hidden_folders(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/2.png", "train/b/.cache/3.png", "val/a/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    with pytest.raises(QkvError, match=r"divided already: train on one of .*train and .*val"):
        open_pictures(PictureSource.of(tmp_path))
    assert len(open_pictures(PictureSource.of(tmp_path / "train"))) == 2


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (["train/a/1", "train/b/1", "test/a/1", "test/b/1", "copy/train/a/1", "copy/test/a/1"], ["test", "train"]),
        (["seg_train/seg_train/a/1", "seg_test/seg_test/a/1", "seg_pred/1"], ["seg_test", "seg_train"]),
        (["Training_Set/a/1", "Validation-set/a/1", "extra/1"], ["Training_Set", "Validation-set"]),
        (["train/1", "test/1"], ["test", "train"]),
        (["train/1", "test/1", "bus/1"], []),  # classes
        (["train/steam/1", "train/metro/1", "bus/city/1"], []),
        (["training/1", "dev/deep/1", "dev/1", "test/1", "x/1"], []),
    ],
)
def test_a_set_is_divided_already_whatever_lies_beside_its_parts(files: list[str], parts: list[str], tmp_path: Path):
    for name in files:
        (tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(png(1))
    if not parts:
        assert len(open_pictures(PictureSource.of(tmp_path))) == len(files)
        return
    named = " and ".join(str(tmp_path / part) for part in parts)
    with pytest.raises(QkvError, match=f"{tmp_path} is divided already: train on one of {named}, and name another"):
        open_pictures(PictureSource.of(tmp_path))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,image,label\na.png,b.png,0\n")
    with pytest.raises(QkvError, match="several columns 'image'"):
        open_pictures(PictureSource(table=str(tmp_path / "t.csv")))


@pytest.mark.parametrize("captioned", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "image,label,caption\na.png,café,café\n".encode("latin-1"), r"t\.csv is not UTF-8: byte 29 \(line 2"),
        ("t.csv", "image,label,caption,é\na.png,x,y,z\n".encode("latin-1"), r"t\.csv is not UTF-8: byte 20 \(line 1\)"),
        ("t.csv", "image,label,caption\na.png,x,café\n".encode("utf-16"), r"t\.csv is not UTF-8: byte 0 \(line 1\)"),
        ("t.csv", b"image,label,caption\na.png,x,y\nb,x,y,z\n", "4 in the row 'b,x,y,z', 3 in the header; give all"),
        ("t.csv", b"image,label,caption\na.png,x\nb.png,x,y\n", "2 in the row 'a.png,x', 3 in the header; give all"),
        ("t.csv", b"", r"save it as UTF-8 with one header line and as many cells in every row$"),
        ("t.parquet", None, r"t\.parquet cannot be read: it is cut short, .*; fetch it or write it again$"),
    ],
)
def test_files_that_are_no_whole_tables(name: str, content: bytes | None, said: str, captioned: bool, tmp_path: Path):
    path = tmp_path / name
    if content is None:
        rows = {"image": [png(1)] * 99, "label": [1] * 99, "caption": ["x"] * 99}
        parquet.write_table(pa.table(rows), path)
        content = path.read_bytes()[:-9]
    path.write_bytes(content)
    with pytest.raises(QkvError, match=said) as error:
        if captioned:
            open_source(CaptionSource(table=str(path)), tmp_path / "cache", Reporter())
        else:
            open_pictures(PictureSource(table=str(path)))
    assert "\n" not in str(error.value) and "Arrow" not in str(error.value)


def csv_of(folder: Path, *rows: str) -> CaptionSource:
    for name in "abcdef":
        (folder / f"{name}.png").write_bytes(png(ord(name)))
    (folder / "t.csv").write_text("\n".join(["image,caption", *rows]) + "\n")
    return CaptionSource(table=str(folder / "t.csv"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (['a.png,"one', "b.png,two", "c.png,three"], r"line 2: a quotation mark opens a cell that is never closed"),
        (["a.png,one", 'b.png,"two', "c.png,three", 'd.png,"four"'], r"line 3: a quotation mark closes a cell before"),
        (["a.png,one", 'b.png,"two', "c.png,three", 'd.png,four"', "e.png,5"], r"line 3: .* over line 4, .* \(c.png\)"),
        (['a.png,"one "" two', 'b.png,"" three"', "c.png,x"], r"line 2: .* goes on over line 3, .* \(b.png\)"),
        (['a.png,"one" or two'], r"line 2: a quotation mark closes a cell before its end; put a cell that has"),
        (['"a.png,one', 'b.png,"two"'], r"line 2: .*; put a cell that has a quotation mark"),
        (['a.png,"' + "x" * 2**21 + '"'], r"line 2: a cell has more than 1,048,576 characters"),
    ],
)
def test_a_stray_quotation_mark_swallows_no_row(rows: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(QkvError, match=rf"t\.csv, {said}") as error:
        open_source(csv_of(tmp_path, *rows), tmp_path / "cache", Reporter())
    assert len(str(error.value)) < 500


def test_cells_of_several_lines_and_marks_that_are_quoted(tmp_path: Path) -> None:
    """What RFC 4180 allows, and single marks within cells, which stand for inches or are apostrophes."""
    captions = ["one,\ntwo, three", 'say "hi"', '5" wide', "", "a\u2028b\n\nx.png,none of ours", "NA"]
    told = [f'"{caption}"' for caption in ("one,\ntwo, three", 'say ""hi""')] + [
        '5" wide',
        "",
        f'"{captions[4]}"',
        "NA",
    ]
    source = csv_of(tmp_path, *(f"{name}.png,{caption}" for name, caption in zip("abcdef", told)), "", "")
    found = open_source(source, tmp_path / "cache", Reporter())
    assert [[text for _, text in found.texts(i)] for i in range(6)] == [[caption] for caption in captions]


def test_columns_that_arrow_holds_but_are_no_text(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    parquet.write_table(pa.table({"image": [png(1), png(2)], "caption": texts, "label": texts}), tmp_path / "t.parquet")
    with pytest.raises(QkvError, match=r"t.parquet, row 2: 'label' is not UTF-8 \(byte 0 of it\); convert"):
        open_pictures(PictureSource(table=str(tmp_path / "t.parquet")))
    found = open_source(CaptionSource(table=str(tmp_path / "t.parquet")), tmp_path / "cache", Reporter())
    assert found.texts(0) == [("und", "a")]
    with pytest.raises(QkvError, match=r"t.parquet, row 2: 'caption' is not UTF-8"):
        found.check(1)
    binary = table(tmp_path / "u.parquet", [png(1), png(2)], ["café".encode(), b"tea"])
    assert open_pictures(binary).classes == ("café", "tea")
    with pytest.raises(QkvError, match=r"u.parquet, row 1: label b'caf\\xe9' is not UTF-8 \(byte 3\)"):
        open_pictures(table(tmp_path / "u.parquet", [png(1), png(2)], ["café".encode("latin-1"), b"tea"]))


def split_table(folder: Path) -> dict[str, object]:
    """Six pictures, three to train on; their brightness is their row."""
    rows = {"image": [png(i) for i in range(6)], "label": ["a", "b", "c"] * 2, "year": [1, 1, 2, 2, 3, 3]}
    splits = ["train", "val", "train", "test", "train", "val"]
    parquet.write_table(pa.table({**rows, "split": splits, "caption": splits}), folder / "t.parquet")
    lines = [f"{i}.png,{rows['label'][i]},{rows['year'][i]},{splits[i]},{splits[i]}" for i in range(6)]
    (folder / "t.csv").write_text("\n".join(["image,label,year,split,caption", *lines]))
    for i in range(6):
        (folder / f"{i}.png").write_bytes(png(i))
    return {"split": splits, **rows}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("captioned", [False, True])
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"split": "train"}, [0, 2, 4]),
        ({"split": ["val", "test"]}, [1, 3, 5]),
        ({"year": 1}, [0, 1]),
        ({"year": "2", "split": "test"}, [3]),
        ({"split": "train", "year": [1, 3]}, [0, 4]),
        ({"split": "t*"}, [0, 2, 3, 4]),
        ({"split": ["va?", "te[st]t"]}, [1, 3, 5]),
        ({}, list(range(6))),
    ],
)
def test_rows_are_chosen_by_the_values_of_columns(kind: str, captioned: bool, where: dict, rows: list[int], tmp_path):
    known = split_table(tmp_path)
    place = {"table": str(tmp_path / f"t.{kind}"), "where": where}
    if captioned:
        source = open_source(parse(CaptionSource, place, "test"), tmp_path / "cache", Reporter())
        pictures = source.pictures
        assert [source.texts(i)[0][1] for i in range(len(source))] == [known["split"][row] for row in rows]
    else:
        pictures = open_pictures(parse(PictureSource, place, "test"))
        assert [pictures.classes[label] for label in pictures.labels] == [known["label"][row] for row in rows]
        unlabelled = open_pictures(parse(PictureSource, place, "test"), labelled=False)
        assert [unlabelled.name(i) for i in range(len(unlabelled))] == [pictures.name(i) for i in range(len(rows))]
    assert [pictures.picture(i, 1).getpixel((0, 0)) for i in range(len(pictures))] == rows
    if kind == "parquet":
        assert [pictures.name(i) for i in range(len(pictures))] == [f"{place['table']}, row {row + 1}" for row in rows]


def test_a_value_that_is_there_is_no_pattern() -> None:
    values = ["a[1]", "a1", "*", "a[1]"]
    for wanted, rows in (("a[1]", [0, 3]), ("*", [2]), ("a*", [0, 1, 3]), (["a?", "*"], [1, 2])):
        assert choose_rows(Path("t.csv"), len(values), lambda _: values, {"column": wanted}) == rows


@pytest.mark.parametrize("source", [PictureSource, CaptionSource])
def test_a_choice_that_leaves_nothing_says_what_there_is(source: type, tmp_path: Path) -> None:
    split_table(tmp_path)
    for where, said in (
        ({"splt": "train"}, r"t\.csv has no column 'splt'; did you mean 'split'\?"),
        ({"split": "vall"}, r"t\.csv: no row has 'vall' as split; did you mean 'val'\?"),
        ({"split": ["val", "x"]}, r"t\.csv: no row has 'x' as split; choose from test, train, val"),
        ({"split": "test", "year": 1}, r"t\.csv: no row has '1' as year; choose from 2"),
        ({"split": "T*"}, r"t\.csv: no row has 'T\*' as split; choose from test, train, val"),
        ({"split": []}, r"t\.csv: where asks for no value of split"),
    ):
        chosen = parse(source, {"table": str(tmp_path / "t.csv"), "where": where}, "test")
        with pytest.raises(QkvError, match=said):
            if isinstance(chosen, CaptionSource):
                open_source(chosen, tmp_path / "cache", Reporter())
            else:
                open_pictures(chosen)
    with pytest.raises(QkvError, match="where chooses rows of a table"):
        parse(source, {"folder": str(tmp_path), "where": {"split": "train"}}, "test")
