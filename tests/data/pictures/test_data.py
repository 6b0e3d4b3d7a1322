"""Pictures as batches: pure functions of (seed, epoch, index) that show every readable picture once an epoch."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from qkv.config import parse
from qkv.data.pictures.data import ImageData, ImageDataConfig
from qkv.data.pictures.measure import Measure, measure
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.pictures.sources import Pictures, PictureSource
from qkv.errors import QkvError
from qkv.reporter import Reporter
from reporters import written

GREY = Preprocessing(size=4, channels=1, mean=(0.0,), std=(1.0,))
COUNTS = {"ant": 20, "bee": 10, "cow": 1}


def write_folder(folder: Path, counts: dict[str, int] = COUNTS, value: int = 0) -> None:
    """Every picture in a brightness of its own."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (4, 4), value).save(folder / name / f"{i:02}.png")
            value += 1


def open_data(folder: Path, seed: int = 1, **fields) -> ImageData:
    config = parse(ImageDataConfig, {"train": [{"folder": str(folder)}], "batch_size": 8, **fields}, "test")
    return ImageData.open(config, GREY, folder.parent / "cache", seed, Reporter())


def brightness(batches) -> list[int]:
    return [round(float(image.mean()) * 255) for batch in batches for image in batch.images]


def test_an_epoch_shows_each_picture_once_with_its_class(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    data = open_data(tmp_path / "f")
    assert data.classes == ("ant", "bee", "cow")
    train = [data.batch(0, i) for i in range(data.n_batches(0))]
    shown, held_out = brightness(train), brightness(data.validation_batches())
    assert sorted(shown + held_out) == list(range(31))
    assert (data.n_train, data.n_validation) == (len(shown), len(held_out))
    labels = torch.cat([batch.targets for batch in train]).argmax(1).tolist()
    assert labels == [0 if value < 20 else 1 if value < 30 else 2 for value in shown]
    assert brightness([data.batch(1, i) for i in range(data.n_batches(1))]) != shown
    # Two of twenty, one of ten; the class of one picture keeps it for training.
    assert [sum(value < 20 for value in held_out), sum(20 <= value < 30 for value in held_out)] == [2, 1]
    assert 30 in shown


def test_batches_are_pure_functions_of_seed_epoch_and_index(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    augmentation = {"flip": True, "pad": 1, "erase": 0.5, "mixup": 0.5, "rand_augment": 1}
    one, other = (open_data(tmp_path / "f", augmentation=augmentation) for _ in range(2))
    wanted = [(3, 1), (0, 0), (3, 0)]
    first = {place: one.batch(*place) for place in wanted}
    for place in reversed(wanted):
        again = other.batch(*place)
        assert torch.equal(again.images, first[place].images)
        assert torch.equal(again.targets, first[place].targets)
        torch.testing.assert_close(again.targets.sum(1), torch.ones(len(again.targets)))
    assert not torch.equal(first[3, 0].images, first[0, 0].images)
    assert not torch.equal(open_data(tmp_path / "f", seed=2).batch(0, 0).images, one.batch(0, 0).images)


def test_unreadable_pictures_are_named_counted_and_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    (tmp_path / "f" / "ant" / "text.png").write_text("no picture")
    (tmp_path / "f" / "ant" / "photo.heic").write_text("a picture that Pillow cannot read")
    data = open_data(tmp_path / "f")
    assert data.n_train + data.n_validation == 31
    assert len(data.unreadable) == 1
    assert "text.png is not a picture" in data.unreadable[0]
    report = written(data.report)
    assert "left out, 1 in all: " in report and "text.png" in report
    assert "passed over, 1 in all" in report and "photo.heic" in report
    # What is found out is kept: the second time nothing is decoded.
    cached = open_data(tmp_path / "f")
    assert cached.unreadable == data.unreadable
    assert len(list((tmp_path / "cache").glob("checked-*.arrow"))) == 1


def test_a_picture_that_becomes_unreadable_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folder(tmp_path / "f")
    data = open_data(tmp_path / "f")
    for file in (tmp_path / "f" / "ant").iterdir():
        file.write_text("gone")
    assert sum(len(data.batch(0, i).images) for i in range(data.n_batches(0))) == data.n_train
    assert caplog.text.count("has become unreadable") == 1


def test_validation_sources_and_their_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    write_folder(tmp_path / "v", {"bee": 3}, value=40)
    data = open_data(tmp_path / "f", validation=[{"folder": str(tmp_path / "v")}])
    assert data.n_train == 31
    assert brightness(data.validation_batches()) == [40, 41, 42]
    assert [batch.targets.argmax(1).tolist() for batch in data.validation_batches()] == [[1, 1, 1]]
    write_folder(tmp_path / "w", {"wasp": 3})
    with pytest.raises(QkvError, match=r"w has a class 'wasp', which .*f lacks"):
        open_data(tmp_path / "f", validation=[{"folder": str(tmp_path / "w")}])


def test_large_jpegs_are_not_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in (("ant", range(5)), ("bee", range(5, 10))):
        (tmp_path / "f" / name).mkdir(parents=True)
        for i in values:
            Image.new("L", (320, 256), 20 * i).save(tmp_path / "f" / name / f"{i}.jpg")
    read, sizes = Pictures.picture, set()

    def recording(self: Pictures, *given: int) -> Image.Image:
        picture = read(self, *given)
        sizes.add(picture.size)
        return picture

    for smallest_crop, size in ((1.0, (40, 32)), (0.01, (160, 128))):  # what a crop takes is to have 4 pixels too
        data = open_data(tmp_path / "f", augmentation={"smallest_crop": smallest_crop})
        with monkeypatch.context() as patch:
            patch.setattr(Pictures, "picture", recording)
            sizes.clear()
            images = data.batch(0, 0).images
            assert sizes == {size}
            sizes.clear()
            validation = list(data.validation_batches())
            assert sizes == {(40, 32)}
        assert {round(value) for value in (images.flatten() * 255).tolist()} <= {20 * i for i in range(10)}
        assert all(value % 20 == 0 for value in brightness(validation))


def test_too_few_pictures(tmp_path: Path) -> None:
    write_folder(tmp_path / "f", {"ant": 1, "bee": 1})
    with pytest.raises(QkvError, match="too few pictures to hold any out"):
        open_data(tmp_path / "f")


def test_samples_are_pictures_of_their_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    pictures, names = open_data(tmp_path / "f").samples()
    assert len(pictures) == len(names) == 28
    assert {picture.size for picture in pictures} == {pictures[0].size}
    assert set(names) == {"ant", "bee", "cow"}


def test_measure(tmp_path: Path) -> None:
    write_folder(tmp_path / "f")
    found = measure(PictureSource.of(tmp_path / "f"))
    assert (found.pictures, found.side, found.channels) == (31, 4, 1)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "f" / "ant" / "red.png")
    assert measure(PictureSource.of(tmp_path / "f")).channels == 3
    small = Measure(pictures=2, side=100, channels=1)
    assert Measure.joined([small, found]) == Measure(pictures=33, side=4, channels=1)
