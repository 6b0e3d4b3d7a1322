"""Sources of labelled pictures."""

import gzip
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from qkv.data.pictures.readers import open_pictures
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.data.pictures.split import PictureSplit
from qkv.errors import QkvError
from qkv.reporter import Reporter


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("L", (3, 2), value).save(file, "PNG")
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def contents(pictures: Pictures) -> list[tuple[str, int]]:
    """Class and brightness of every picture."""
    return [
        (pictures.classes[label], pictures.picture(i, 1).getpixel((0, 0))) for i, label in enumerate(pictures.labels)
    ]


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    for name, value in (("dog/2.png", 2), ("cat/deep/1.png", 1), ("dog/3.png", 3), ("dog/.x.png", 9), ("dog/a.txt", 9)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(value))
    (tmp_path / ".git").mkdir()
    pictures = open_pictures(PictureSource.of(tmp_path))
    assert pictures.classes == ("cat", "dog")
    assert contents(pictures) == [("cat", 1), ("dog", 2), ("dog", 3)]
    assert pictures.name(1) == str(tmp_path / "dog" / "2.png")


def test_a_table_of_paths(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").write_bytes(png(5))
    (tmp_path / "table.csv").write_text('file,kind\nfiles/a.png,red\nfiles/a.png,"blue, dark"\n')
    source = PictureSource(table=str(tmp_path / "table.csv"), image_column="file", label_column="kind")
    assert contents(open_pictures(source)) == [("red", 5), ("blue, dark", 5)]


@pytest.mark.parametrize("nested", [False, True])
def test_a_table_that_holds_the_pictures(nested: bool, tmp_path: Path) -> None:
    images = [png(7), png(8), b"broken"]
    column = [{"bytes": image, "path": None} for image in images] if nested else images
    parquet.write_table(pa.table({"image": column, "label": [1, 0, 1]}), tmp_path / "t.parquet")
    (tmp_path / "classes.txt").write_text("zero\none\n")
    source = PictureSource(table=str(tmp_path / "t.parquet"), classes=str(tmp_path / "classes.txt"))
    pictures = open_pictures(source)
    assert pictures.labels.tolist() == [1, 0, 1]
    assert [pictures.picture(i, 1).getpixel((0, 0)) for i in (0, 1)] == [7, 8]
    with pytest.raises(QkvError, match=r"t.parquet, row 3 is not a picture"):
        pictures.picture(2, 1)


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files(compressed: bool, tmp_path: Path) -> None:
    pixels = np.arange(24).reshape(4, 3, 2)
    end = ".gz" if compressed else ""
    for name, array in (("t-images-idx3-ubyte", pixels), ("t-labels-idx1-ubyte", np.array([2, 0, 1, 0]))):
        content = idx(array)
        (tmp_path / (name + end)).write_bytes(gzip.compress(content) if compressed else content)
    pictures = open_pictures(PictureSource.of(tmp_path / f"t-images-idx3-ubyte{end}"))  # labels are found beside it
    assert pictures.classes == ("0", "1", "2")
    assert pictures.labels.tolist() == [2, 0, 1, 0]
    assert (np.asarray(pictures.picture(3, 1)) == pixels[3]).all()


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(png(1))
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    (tmp_path / "t.csv").write_text("image,label\na.png,cat\n")
    (tmp_path / "empty.csv").write_text("image,label\n")
    (tmp_path / "holes.csv").write_text("image,label\na.png,1\nb.png,\n")
    (tmp_path / "x-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 2, 2)))[:-1])
    (tmp_path / "y-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 2, 2))))
    (tmp_path / "y-labels-idx1-ubyte").write_bytes(idx(np.array([0, 5, 1])))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    at = str(tmp_path)
    for source, message in [
        ({"folder": f"{at}/none"}, "none is no folder"),
        ({"folder": f"{at}/flat"}, "flat has no class folders"),
        ({"folder": f"{at}/hollow"}, "cat holds no pictures"),
        ({"table": f"{at}/none.csv"}, "none.csv does not exist"),
        ({"table": f"{at}/bad.parquet"}, "bad.parquet cannot be read"),
        ({"table": f"{at}/empty.csv"}, "empty.csv is empty"),
        ({"table": f"{at}/holes.csv"}, "holes.csv, row 2 has no label"),
        ({"table": f"{at}/t.csv", "label_column": "lable"}, "no column 'lable'; did you mean 'label'?"),
        ({"table": f"{at}/t.csv", "classes": ["dog", "cow"]}, "row 1: no class 'cat'"),
        ({"images": f"{at}/x-images-idx3-ubyte"}, "no whole IDX file"),
        ({"images": f"{at}/y-images-idx3-ubyte"}, "not pictures with labels"),
        ({"images": f"{at}/none-idx3"}, "does not exist"),
    ]:
        with pytest.raises(QkvError) as error:
            open_pictures(PictureSource(**source))
        assert message in str(error.value), source
        assert "\n" not in str(error.value)
    for fields in ({}, {"folder": "a", "table": "b.csv"}, {"table": "b.xls"}, {"folder": "a", "labels": "b"}):
        with pytest.raises(ValueError, match=r"pictures|table|labels"):
            PictureSource(**fields)
    with pytest.raises(QkvError, match="holds no pictures that can be used here"):
        PictureSource.of(tmp_path / "notes.txt")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_of_a_table_are_chosen(kind: str, tmp_path: Path) -> None:
    columns = {"image": ["1.png", "2.png", "3.png", "4.png"], "label": ["x", "", "y", "x"]}
    columns |= {"split": ["train", "val", "train", "train"], "part": [1, 1, 1, 2]}
    for value in (1, 2, 3, 4):
        (tmp_path / f"{value}.png").write_bytes(png(value))
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        rows = [columns.keys(), *zip(*columns.values(), strict=True)]
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    else:
        parquet.write_table(pa.table(columns), path)
    chosen = open_pictures(PictureSource(table=str(path), where={"split": "train", "part": 1}))
    assert contents(chosen) == [("x", 1), ("y", 3)]
    others = open_pictures(PictureSource(table=str(path), where={"split": "val"}), labelled=False)
    assert contents(others) == [("pictures", 2)]
    with pytest.raises(QkvError, match="row 2 has no label"):  # the row of the file, not of what was chosen
        open_pictures(PictureSource(table=str(path), where={"split": "val"}))


def test_pictures_without_classes(tmp_path: Path) -> None:
    for name, value in (("2.png", 2), ("deep/1.png", 1), ("train/3.png", 3)):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(png(value))
    found = open_pictures(PictureSource.of(tmp_path / "f"), labelled=False)
    assert sorted(contents(found)) == [("pictures", 1), ("pictures", 2), ("pictures", 3)]
    (tmp_path / "a-images-idx3-ubyte").write_bytes(idx(np.full((2, 3, 3), 7)))  # and no labels beside it
    assert (
        contents(open_pictures(PictureSource.of(tmp_path / "a-images-idx3-ubyte"), labelled=False))
        == [("pictures", 7)] * 2
    )
    (tmp_path / "t.csv").write_text("image\nf/2.png\n")
    assert contents(open_pictures(PictureSource.of(tmp_path / "t.csv"), labelled=False)) == [("pictures", 2)]
    with pytest.raises(QkvError, match="is no folder"):
        open_pictures(PictureSource(folder=str(tmp_path / "g")), labelled=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(QkvError, match="empty holds no pictures"):
        open_pictures(PictureSource(folder=str(tmp_path / "empty")), labelled=False)


def test_pictures_in_shards_have_no_classes(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        for name, content in (("a.png", png(4)), ("a.cls", b"1"), ("b.txt", b"alone"), ("c/d.png", png(6))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, BytesIO(content))
    source = PictureSource.of(tmp_path / "s.tar")
    for place in (source, PictureSource(shards=[str(tmp_path / "*.tar")]), PictureSource(shards=str(tmp_path))):
        found = open_pictures(place, labelled=False)
        assert len(found) == 3 and found.classes == ("pictures",)
        assert [found.picture(i, 1).getpixel((0, 0)) for i in (2, 0)] == [6, 4]
        with pytest.raises(QkvError, match=r"s\.tar, sample b has no picture"):
            found.picture(1, 1)
    with pytest.raises(QkvError, match=r"s\.tar: shards tell no classes here: give a folder of class folders"):
        open_pictures(source)
    with pytest.raises(QkvError, match="shards names no place"):
        open_pictures(PictureSource(shards=[]), labelled=False)
    with pytest.raises(ValueError, match="shards have none of"):
        PictureSource(shards="s.tar", classes=["a", "b"])


def test_shards_are_checked_again_when_they_change(tmp_path: Path) -> None:
    def write(*values: int) -> None:
        with tarfile.open(tmp_path / "s.tar", "w") as shard:
            for value in values:
                content = png(value) if value else b"broken"
                member = tarfile.TarInfo(f"{len(shard.getmembers())}.png")
                member.size = len(content)
                shard.addfile(member, BytesIO(content))

    def split() -> PictureSplit:
        source = PictureSource(shards=str(tmp_path / "s.tar"))
        quiet = Reporter()
        return PictureSplit.open([source], [], 0.25, tmp_path / "cache", 1, quiet, labelled=False)

    write(1, 0, 3, 4)
    found = split()
    assert (len(found.train), len(found.validation)) == (2, 1)
    assert len(found.unreadable) == 1 and "s.tar, sample 1 is not a picture" in found.unreadable[0]
    write(1, 2, 3, 4, 5)
    assert len(split().train) + len(split().validation) == 5
