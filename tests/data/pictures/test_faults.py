"""What goes wrong with whole data sets, and what takes the place of what is lost."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.config import parse
from qkv.data.pictures import split as picture_split
from qkv.data.pictures.data import ImageBatch, ImageData, ImageDataConfig
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.pictures.sources import Pictures
from qkv.errors import QkvError
from qkv.reporter import Reporter
from reporters import written

GREY = Preprocessing(size=4, channels=1, mean=(0.0,), std=(1.0,))


def write(folder: Path, counts: dict[str, int], first: int = 1) -> dict[str, str]:
    """Every picture in a brightness of its own; classes differ in nothing else."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (4, 4), first).save(folder / name / f"{i:02}.png")
            first += 1
    return {"folder": str(folder)}


def idx(folder: Path, numbers: list[int], **fields: Any) -> dict[str, Any]:
    folder.mkdir()
    heads = b"\0\0\x08\x03" + np.array([len(numbers), 2, 2], ">u4").tobytes(), b"\0\0\x08\x01"
    (folder / "idx3-images").write_bytes(heads[0] + np.arange(len(numbers), dtype="<u4").tobytes())
    (folder / "idx1-labels").write_bytes(heads[1] + np.array([len(numbers)], ">u4").tobytes() + bytes(numbers))
    return {"images": str(folder / "idx3-images"), "labels": str(folder / "idx1-labels"), **fields}


def open_data(tmp_path: Path, *train: dict[str, Any], **fields: Any) -> ImageData:
    config = parse(ImageDataConfig, {"train": list(train), "batch_size": 8, **fields}, "test")
    return ImageData.open(config, GREY, tmp_path / "cache", 1, Reporter())


def pairs(batches: list[ImageBatch]) -> list[tuple[int, int]]:
    return [
        (round(float(image.mean()) * 255), int(target.argmax()))
        for batch in batches
        for image, target in zip(batch.images, batch.targets, strict=True)
    ]


def epoch(data: ImageData, number: int = 0) -> list[ImageBatch]:
    return [data.batch(number, i) for i in range(data.n_batches(number))]


def test_another_picture_with_its_own_class_takes_the_place_of_a_lost_one(tmp_path: Path) -> None:
    source = write(tmp_path / "f", {"ant": 10, "bee": 10})
    data, again = (open_data(tmp_path, source) for _ in range(2))
    before = pairs(epoch(data))
    lost = sorted(tmp_path.glob("f/ant/*"))[5:]
    for file in lost:
        file.unlink()
    after = pairs(epoch(data))
    assert len(after) == len(before)
    assert all((value <= 10) == (label == 0) for value, label in after)  # its own class, not that of the lost one
    assert all(b == a for b, a in zip(before, after, strict=True) if not 6 <= b[0] <= 10)
    assert pairs(epoch(again)) == after


def test_when_nothing_can_be_read_any_more_it_is_said(tmp_path: Path) -> None:
    data = open_data(tmp_path, write(tmp_path / "f", {"ant": 10, "bee": 10}))
    for file in tmp_path.glob("f/*/*"):
        file.unlink()
    with pytest.raises(QkvError, match=r"cannot be any more; the last tried: .* does not exist"):
        data.batch(0, 0)


def test_forked_processes_make_the_same_batches(tmp_path: Path) -> None:
    augmentation = {"flip": True, "pad": 1, "erase": 0.5, "cutmix": 1.0, "rand_augment": 2, "smallest_crop": 0.5}
    data = open_data(tmp_path, write(tmp_path / "f", {"ant": 20, "bee": 20}), augmentation=augmentation)
    read, written = os.pipe()
    child = os.fork()
    if not child:
        os.write(written, data.batch(2, 1).images.numpy().tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    images = data.batch(2, 1).images
    assert os.read(read, images.nbytes + 1) == images.numpy().tobytes()
    os.close(read)
    os.close(written)


def test_classes_of_several_sources_are_joined_by_name(tmp_path: Path) -> None:
    one, two = write(tmp_path / "f", {"ant": 5, "cow": 5}), write(tmp_path / "g", {"bee": 5, "cow": 5}, 11)
    data = open_data(tmp_path, one, two)
    assert data.classes == ("ant", "cow", "bee")
    shown = pairs([*epoch(data), *data.validation_batches()])
    assert sorted(shown) == [(v, 0 if v <= 5 else 2 if 11 <= v <= 15 else 1) for v in range(1, 21)]


def test_numbered_and_named_classes_are_not_confused(tmp_path: Path) -> None:
    numbered = idx(tmp_path / "n", [0, 1] * 4)
    more = idx(tmp_path / "m", [0, 1, 2] * 4)
    assert open_data(tmp_path, numbered, more).classes == ("0", "1", "2")
    named = {**more, "classes": ["ant", "bee", "cow"]}
    with pytest.raises(QkvError, match=r"m.* names its classes, but .*n.* numbers them: give .*n.* the names"):
        open_data(tmp_path, numbered, named)


def test_one_class_is_none_and_pad_must_leave_something(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match="one class, 'ant'"):
        open_data(tmp_path, write(tmp_path / "f", {"ant": 5}))
    with pytest.raises(QkvError, match=r"augmentation\.pad is 4"):
        open_data(tmp_path, write(tmp_path / "g", {"ant": 5, "bee": 5}), augmentation={"pad": 4})


def test_no_more_than_so_many_are_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_split, "_MOST_HELD_OUT", 6)
    data = open_data(tmp_path, write(tmp_path / "f", {"ant": 20, "bee": 10}), holdout=0.5)
    assert (data.n_train, data.n_validation) == (24, 6)
    assert torch.cat([batch.targets for batch in data.validation_batches()]).sum(0).tolist() == [4, 2]


def test_the_scan_is_done_again_only_when_a_file_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "f", {"ant": 5, "bee": 5})
    read, decoded = Pictures.picture, []
    monkeypatch.setattr(Pictures, "picture", lambda *given, **named: decoded.append(given[1]) or read(*given, **named))
    open_data(tmp_path, source)
    assert sorted(decoded) == list(range(10))
    open_data(tmp_path, source)
    assert len(decoded) == 10
    (tmp_path / "f" / "ant" / "00.png").write_text("broken")
    assert len(open_data(tmp_path, source).unreadable) == 1
    assert len(decoded) == 20


def test_a_fault_that_leaves_no_trace_on_the_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "f", {"ant": 5, "bee": 5})
    read = Pictures.picture

    def denied(self: Pictures, index: int, channels: int, enough: int | None = None) -> Image.Image:
        if self.name(index).endswith("ant/03.png"):
            raise QkvError("ant/03.png cannot be read (Input/output error)")
        return read(self, index, channels, enough)

    monkeypatch.setattr(Pictures, "picture", denied)
    assert len(open_data(tmp_path, source).unreadable) == 1
    monkeypatch.undo()  # the disk answers again, and the file is as it was
    data = open_data(tmp_path, source)
    assert not data.unreadable and data.n_train + data.n_validation == 10


def test_content_that_was_changed_back_in_time_is_looked_at_again(tmp_path: Path) -> None:
    source = write(tmp_path / "f", {"ant": 5, "bee": 5})
    assert not open_data(tmp_path, source).unreadable
    file = tmp_path / "f" / "ant" / "00.png"
    before = file.stat()
    file.write_bytes(bytes(before.st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(open_data(tmp_path, source).unreadable) == 1


def test_links_and_files_that_are_missing_are_found_when_they_come_back(tmp_path: Path) -> None:
    write(tmp_path / "f", {"ant": 4, "bee": 4})
    (tmp_path / "f" / "link.png").symlink_to(tmp_path / "away.png")
    rows = [f"{name}/{i:02}.png,{name}\n" for name in ("ant", "bee") for i in range(4)]
    (tmp_path / "f" / "t.csv").write_text("".join(["image,label\n", *rows, "link.png,ant\n", "later.png,bee\n"]))
    source = {"table": str(tmp_path / "f" / "t.csv")}
    assert len(open_data(tmp_path, source).unreadable) == 2
    Image.new("L", (4, 4), 99).save(tmp_path / "away.png")
    assert len(open_data(tmp_path, source).unreadable) == 1
    Image.new("L", (4, 4), 98).save(tmp_path / "f" / "later.png")
    assert not open_data(tmp_path, source).unreadable


def test_the_report_shows_names_as_they_are_and_the_rarest_of_many(tmp_path: Path) -> None:
    def printed(counts: dict[str, int]) -> str:
        folder = tmp_path / str(len(counts))
        return written(open_data(folder, write(folder / "f", counts)).report, width=120)

    assert "[red]" in printed({"[red]": 2, "b": 2})
    many = printed({f"c{i:02}": 2 + (i == 7) for i in range(41)})
    assert "c07" not in many and "c40" in many
    assert "40 classes with the fewest pictures, of 41" in many
