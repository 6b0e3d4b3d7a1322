"""Captioned pictures as batches: pure functions of (seed, epoch, index) that share languages out exactly."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.config import parse
from qkv.data.captions.code_cache import PictureEncoder
from qkv.data.captions.data import CaptionBatch, CaptionData, CaptionDataConfig
from qkv.data.captions.schedule import CaptionSchedule
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.data.text.tokenizer import PAD, TokenizerConfig
from qkv.errors import QkvError
from qkv.reporter import Reporter
from reporters import written

GREY = Preprocessing(size=4, channels=1, mean=(0.0,), std=(1.0,))
TOKENIZER = TokenizerConfig(vocabulary=300)


def write_table(folder: Path, captions: list[dict[str, str]], name: str = "t.csv", first: int = 0) -> dict[str, Any]:
    """Pictures of their own brightness, dark on the left; captions by language."""
    languages = list(dict.fromkeys(language for row in captions for language in row))
    lines = [",".join(["image", *languages])]
    for number, row in enumerate(captions, first):
        pixels = np.full((4, 4), number, np.uint8)
        pixels[:, 0] = 0
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
        lines.append(",".join([f"{number:03}.png", *(row.get(language, "") for language in languages)]))
    (folder / name).write_text("\n".join(lines))
    return {"table": str(folder / name), "captions": {language: language for language in languages}}


def write_folder(folder: Path, captions: dict[int, str]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    for number, text in captions.items():
        Image.new("L", (4, 4), number).save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(text)
    return {"folder": str(folder)}


def open_data(
    tmp_path: Path, *train: dict[str, Any], tokenizer: TokenizerConfig = TOKENIZER, seed: int = 1, **fields: Any
) -> CaptionData:
    config = parse(CaptionDataConfig, {"train": list(train), "batch_size": 8, "text_length": 24, **fields}, "test")
    return CaptionData.open(config, tokenizer, GREY, tmp_path / "cache", seed, Reporter())


def epoch(data: CaptionData, number: int = 0) -> list[CaptionBatch]:
    return [data.batch(number, i) for i in range(data.n_batches(number))]


def pairs(data: CaptionData, batches: list[CaptionBatch]) -> list[tuple[int, str]]:
    """Brightness and caption of every picture."""
    shown = []
    for batch in batches:
        values = [round(float(image.max()) * 255) for image in batch.images]
        texts = data.tokenizer.decode([row[:n].tolist() for row, n in zip(batch.captions, batch.lengths)])
        shown += zip(values, texts)
    return shown


def same(one: CaptionBatch, other: CaptionBatch) -> bool:
    parts = ((one.images, other.images), (one.captions, other.captions), (one.lengths, other.lengths))
    return all(torch.equal(a, b) for a, b in parts)


def test_an_epoch_shows_each_picture_once_with_a_caption_of_its_own(tmp_path: Path) -> None:
    captions = {i: f"picture {i}\nnumber {i}" for i in range(60)}
    data = open_data(tmp_path, write_folder(tmp_path / "f", captions), holdout=0.2)
    seen = Counter()
    for number in range(8):
        shown = pairs(data, epoch(data, number))
        assert len(shown) == data.n_train == len(dict(shown))
        seen.update(shown)
    assert set(text for _, text in seen) == {f"{word} {i}" for i in range(60) for word in ("picture", "number")} - {
        f"{word} {i}" for i, _ in pairs(data, list(data.validation_batches())) for word in ("picture", "number")
    }
    assert all(text.split()[1] == str(value) for value, text in seen)
    assert pairs(data, epoch(data, 1)) != pairs(data, epoch(data, 0))
    held_out = pairs(data, list(data.validation_batches()))
    assert {value for value, _ in held_out}.isdisjoint(value for value, _ in seen)
    assert len(held_out) == data.n_validation == 60 - data.n_train
    assert [text for _, text in held_out] == data.validation_texts()
    assert all(text == f"picture {value}" for value, text in held_out)  # the first caption
    assert data.validation_texts(2) == [data.validation_texts()[0], data.validation_texts()[data.n_validation // 2]]


def test_captions_are_padded_behind_their_tokens(tmp_path: Path) -> None:
    data = open_data(tmp_path, write_folder(tmp_path / "f", {i: f"a picture {i}" for i in range(10)}))
    batch = data.batch(0, 0)
    assert batch.captions.shape == (8, 24) and batch.captions.dtype == torch.int64
    texts = data.tokenizer.decode(batch.captions.tolist())
    for row, length, text in zip(batch.captions, batch.lengths.tolist(), texts):
        assert row[:length].tolist() == data.tokenizer.encode([text])[0]
        assert (row[length:] == PAD).all()


def test_batches_are_the_same_in_any_order_and_in_any_process(tmp_path: Path) -> None:
    rows = [{"en": f"en {i}", "ko": f"ko {i}"} for i in range(30)]
    source = write_table(tmp_path, rows)
    sampling = TokenizerConfig(vocabulary=300, sampling=0.3)
    one, other = (open_data(tmp_path, source, tokenizer=sampling, flip=True) for _ in range(2))
    places = [(3, 1), (0, 0), (3, 0)]
    first = {place: one.batch(*place) for place in places}
    assert all(same(other.batch(*place), first[place]) for place in reversed(places))
    assert not same(first[3, 0], first[0, 0])
    assert not same(open_data(tmp_path, source, tokenizer=sampling, flip=True, seed=2).batch(0, 0), first[0, 0])
    read, written = os.pipe()
    child = os.fork()
    if not child:
        batch = other.batch(3, 1)
        os.write(written, batch.images.numpy().tobytes() + batch.captions.numpy().tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    wanted = first[3, 1].images.numpy().tobytes() + first[3, 1].captions.numpy().tobytes()
    assert os.read(read, len(wanted) + 1) == wanted
    os.close(read)
    os.close(written)


def test_flips_mirror_about_half_of_the_pictures(tmp_path: Path) -> None:
    source = write_table(tmp_path, [{"en": f"en {i}"} for i in range(1, 61)], first=1)
    data = open_data(tmp_path, source, flip=True)
    images = torch.cat([batch.images for batch in epoch(data)])
    plain, mirrored = images[:, 0, 0, 0] == 0, images[:, 0, 0, 3] == 0
    assert (plain ^ mirrored).all()
    assert 0.25 < float(mirrored.float().mean()) < 0.75
    assert all((batch.images[:, 0, 0, 0] == 0).all() for batch in data.validation_batches())


def captions_of(plan: CaptionSchedule, pictures: np.ndarray, number: int) -> np.ndarray:
    return plan.captions(pictures, np.full(len(pictures), number))


def schedule(languages: list[list[int]], weights: list[float], seed: int = 1) -> tuple[CaptionSchedule, np.ndarray]:
    """A schedule of pictures with one caption in each of these languages, and the languages of the captions."""
    pictures = np.array([picture for picture, own in enumerate(languages) for _ in own])
    flat = np.array([language for own in languages for language in own], np.int16)
    return CaptionSchedule(pictures, flat, np.array(weights), seed), flat


@pytest.mark.parametrize("n", [1, 7, 30, 31])
def test_languages_are_shown_equally_often_in_each_epoch_and_by_each_picture(n: int) -> None:
    plan, languages = schedule([[0, 1, 2]] * n, [1.0, 1.0, 1.0])
    shown = np.array([languages[captions_of(plan, np.arange(n), epoch)] for epoch in range(6)])
    for row in shown:
        assert set(np.bincount(row, minlength=3).tolist()) <= {n // 3, -(-n // 3)}
    # Over three epochs, each picture is shown once in each language.
    assert (np.sort(shown[:3], axis=0) == np.arange(3)[:, None]).all()
    assert (np.sort(shown[3:], axis=0) == np.arange(3)[:, None]).all()
    if n > 7:
        assert (shown[:3] != shown[3:]).any()


def test_weights_of_languages_and_pictures_that_lack_some() -> None:
    plan, languages = schedule([[0, 1]] * 40 + [[1]] * 5 + [[0, 1, 2]] * 20, [3.0, 1.0, 4.0])
    for number in range(4):
        shown = languages[captions_of(plan, np.arange(65), number)]
        assert np.bincount(shown[:40]).tolist() == [30, 10]
        assert (shown[40:45] == 1).all()
        for count, share in zip(np.bincount(shown[45:], minlength=3), (3 / 8, 1 / 8, 4 / 8)):
            assert abs(count - 20 * share) < 1
    # What a picture shows does not depend on which others it is asked with.
    order = np.random.default_rng(1).permutation(65)
    assert (captions_of(plan, order, 2) == captions_of(plan, np.arange(65), 2)[order]).all()
    # Nor on the epochs that others are in.
    mixed = order % 3
    each = [captions_of(plan, np.arange(65), number) for number in range(3)]
    assert plan.captions(order, mixed).tolist() == [each[number][picture] for picture, number in zip(order, mixed)]


def test_languages_of_whole_data(tmp_path: Path) -> None:
    rows = [{"en": f"en {i}", "ko": f"ko {i}", "de": f"de {i}"} for i in range(40)]
    val = [{"en": f"en {i}", "ko": f"ko {i}"} for i in range(40, 44)]
    source, held = write_table(tmp_path, rows), write_table(tmp_path, val, "v.csv", 40)
    data = open_data(tmp_path, source, validation=[held], languages={"en": 2})
    counts = Counter(text.split()[0] for _, text in pairs(data, epoch(data)))
    assert counts == {"en": 20, "ko": 10, "de": 10}
    # Each validation picture is shown in each of its languages.
    assert data.validation_texts() == [f"{language} {i}" for i in range(40, 44) for language in ("en", "ko")]
    with pytest.raises(QkvError, match=r"languages: no caption is in 'kr'; did you mean 'ko'\?"):
        open_data(tmp_path, source, languages={"kr": 2.0})


def test_a_source_is_repeated_in_an_epoch_each_time_in_another_language(tmp_path: Path) -> None:
    rows = [{"en": f"en {i}", "ko": f"ko {i}", "de": f"de {i}"} for i in range(30)]
    common, rare = write_table(tmp_path, rows[:20]), {**write_table(tmp_path, rows[20:], "r.csv", 20), "repeat": 3}
    validation = write_table(tmp_path, [{"en": "en 30"}], "v.csv", 30)
    data = open_data(tmp_path, common, rare, validation=[validation])
    assert data.n_train == 30
    assert data.n_batches(0) == 7  # of 8 pictures, for 20 + 3 x 10
    shown = [Counter(pairs(data, epoch(data, number))) for number in range(3)]
    for number in range(3):
        values = Counter(value for value, _ in shown[number].elements())
        assert values == {value: 1 if value < 20 else 3 for value in range(30)}
        # What is repeated as often as there are languages is shown once in each.
        assert {pair for pair in shown[number] if pair[0] >= 20} == {
            (value, f"{language} {value}") for value in range(20, 30) for language in ("en", "ko", "de")
        }
    # Nothing else changes: the rest is shown once in each language over three epochs.
    assert sum(shown, Counter()) == Counter(
        {(v, f"{language} {v}"): 1 if v < 20 else 3 for v in range(30) for language in ("en", "ko", "de")}
    )
    with pytest.raises(QkvError, match="validation shows every picture once: repeat is for training"):
        open_data(tmp_path, common, validation=[{**validation, "repeat": 2}])
    with pytest.raises(QkvError, match="repeat must be at least 1, not 0"):
        open_data(tmp_path, {**common, "repeat": 0}, validation=[validation])


def held_out(data: CaptionData) -> set[str]:
    return set(data.validation_texts())


def test_held_out_pictures_stay_so_when_others_come_and_go(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(80)})
    before = held_out(open_data(tmp_path, source, holdout=0.2))
    assert 6 <= len(before) <= 28
    write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(80, 120)})
    for i in range(0, 80, 3):
        (tmp_path / "f" / f"{i:03}.png").unlink()
    after = held_out(open_data(tmp_path, source, holdout=0.2))
    there = {f"caption {i}" for i in range(80) if i % 3}
    assert before & there == after & there
    (tmp_path / "f").rename(tmp_path / "g")
    assert held_out(open_data(tmp_path, {"folder": str(tmp_path / "g")}, holdout=0.2)) == after
    assert held_out(open_data(tmp_path, {"folder": str(tmp_path / "g")}, holdout=0.2, seed=2)) != after


def test_a_picture_is_trained_on_once_and_never_when_it_validates(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(20)})
    lines = [f"f/{i:03}.png,other {i}" for i in range(15, 20)]
    (tmp_path / "t.csv").write_text("\n".join(["image,caption", *lines]))
    (tmp_path / "link").symlink_to(tmp_path / "f")
    table, linked = {"table": str(tmp_path / "t.csv")}, {"folder": str(tmp_path / "link")}
    data = open_data(tmp_path, folder, linked, validation=[table])
    assert sorted(value for value, _ in pairs(data, epoch(data))) == list(range(15))
    assert [line.split(": ")[1].split()[0] for line in data.left_out] == ["5", "20"]


def test_copies_are_never_on_both_sides(tmp_path: Path) -> None:
    """Those of what is held out are left out; those of others are shown, for their captions may be others too."""
    source = write_folder(tmp_path / "f", {i: f"number {i}" for i in range(100)})
    before = open_data(tmp_path / "a", source, holdout=0.2)
    for i in range(100):
        (tmp_path / "f" / f"{i:03}-2.png").hardlink_to(tmp_path / "f" / f"{i:03}.png")
        (tmp_path / "f" / f"{i:03}-2.txt").write_text(f"another caption of {i}")
    data = open_data(tmp_path / "b", source, holdout=0.2)
    shown, held_out = (dict(pairs(data, part)) for part in (epoch(data), [*data.validation_batches()]))
    assert not shown.keys() & held_out.keys()
    assert (len(shown) + len(held_out), data.n_validation) == (100, len(held_out))
    assert data.n_train == 2 * len(shown)
    assert 5 < before.n_validation < 40 and data.n_validation == pytest.approx(before.n_validation, abs=15)
    [line] = data.left_out
    assert line.startswith(f"{len(held_out)} copies of pictures that come up before or are in validation too, such as")
    validation = write_folder(tmp_path / "v", {7: "seven"})
    data = open_data(tmp_path / "c", source, validation=[validation])
    assert (data.n_train, data.n_validation, len(data.left_out)) == (198, 1, 1)


def test_faults_are_named_counted_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(20)})
    (tmp_path / "f" / "003.png").write_text("no picture")
    (tmp_path / "f" / "004.txt").unlink()
    (tmp_path / "f" / "005.txt").write_text("\u200b")  # which the tokenizer's normalisation leaves nothing of
    data = open_data(tmp_path, source)
    assert data.n_train + data.n_validation == 17
    assert [line.split("/f/")[1][:20] for line in data.left_out] == [
        "003.png is not a pic",
        "004.txt does not exi",
        "005.png has no capti",
    ]
    text = written(data.report.to_table())
    assert "left out, 3 in all: " in text and "003.png" in text
    broken = write_folder(tmp_path / "b", {1: "never shown"})
    (tmp_path / "b" / "001.png").write_text("no picture")
    assert open_data(tmp_path, broken, source).n_train == data.n_train
    (tmp_path / "f" / "003.png").unlink()
    write_folder(tmp_path / "f", {3: "caption 3"})
    assert len(open_data(tmp_path, source).left_out) == 2


def test_the_report_and_the_one_warning_of_cut_captions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"en": "a b " * (30 if i == 2 else 2), "ko": "" if i in (5, 6) else f"가 나 {i}"} for i in range(20)]
    source = write_table(tmp_path, rows)
    with caplog.at_level(logging.WARNING, logger="qkv.data.captions"):
        data = open_data(tmp_path, source, text_length=12)
        for number in range(3):
            longest = max(int(batch.lengths.max()) for batch in epoch(data, number))
            assert longest <= 12
        list(data.validation_batches())
    assert [record.getMessage().split(" tokens")[0] for record in caplog.records if "cut" in record.getMessage()] == [
        "1 of 38 captions (2.6 %) have more than text_length (12)"
    ]
    assert "002.png: a b a b" in caplog.text
    found = data.report
    tokens = [len(row) for row in data.tokenizer.encode([row["en"].strip() for row in rows])]
    en, ko = found.languages
    assert (en.pictures, en.captions, en.empty, en.cut, en.max_tokens) == (20, 20, 0, 1, max(tokens))
    assert en.mean_tokens == pytest.approx(sum(tokens) / 20)
    assert (ko.pictures, ko.captions, ko.empty) == (18, 18, 2)
    assert found.captions_per_picture == pytest.approx(38 / 20)
    assert [Path(name).name for name in found.empty] == ["005.png", "006.png"]
    assert sum(found.pictures.values()) == 20
    assert all(text for number in range(2) for _, text in pairs(data, epoch(data, number)))


def test_a_lost_picture_gives_way_to_another_with_its_own_caption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(20)})
    data = open_data(tmp_path, source)
    for i in range(10):
        (tmp_path / "f" / f"{i:03}.png").write_text("gone")
    shown = pairs(data, epoch(data))
    assert len(shown) == data.n_train
    assert all(value >= 10 and text == f"caption {value}" for value, text in shown)
    assert caplog.text.count("has become unreadable") == 1
    for i in range(20):
        (tmp_path / "f" / f"{i:03}.png").unlink()
    with pytest.raises(QkvError, match=r"cannot be any more; the last tried: .* does not exist"):
        data.batch(0, 0)


def test_codes_take_the_place_of_images(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    sources = write_table(tmp_path, [{"en": f"en {i}"} for i in range(30)]), write_folder(tmp_path / "f", {99: "extra"})
    (tmp_path / "004.png").write_text("broken")
    data = open_data(tmp_path, *sources, flip=True)
    images, held = epoch(data, 1), list(data.validation_batches())
    encoder = PictureEncoder(lambda x: (x[:, 0, ::2] * 255).round().long(), 256, tmp_path / "weights")
    data.encode(encoder, tmp_path / "cache", Reporter())
    for file in tmp_path.glob("*.png"):
        file.unlink()  # pictures are not read any more
    for with_codes, with_images in zip([*epoch(data, 1), *data.validation_batches()], [*images, *held], strict=True):
        assert with_codes.images is None and with_codes.codes.dtype == torch.int64
        assert torch.equal(with_codes.codes, encoder.encode(with_images.images).flatten(1))
        assert torch.equal(with_codes.captions, with_images.captions)
        assert with_codes.codes.shape == (len(with_codes.lengths), 8)


def test_the_vocabulary_is_learnt_once_from_training_captions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = write_table(tmp_path, [{"en": "aaa bbb ccc"} for _ in range(20)])
    validation = write_table(tmp_path, [{"en": "zzzz"} for _ in range(4)], "v.csv", 20)
    first = open_data(tmp_path, train, validation=[validation])
    pieces = "".join(first.tokenizer.pieces(range(260, len(first.tokenizer))))
    assert "aaa" in pieces and "z" not in pieces
    assert "changed" not in caplog.text
    write_table(tmp_path, [{"en": "ddd eee fff"} for _ in range(20)])
    again = open_data(tmp_path, train, validation=[validation])
    assert again.tokenizer.to_bytes() == first.tokenizer.to_bytes()
    assert caplog.text.count("the captions have changed since the vocabulary was learnt") == 1
    assert {text for _, text in pairs(again, epoch(again))} == {"ddd eee fff"}
    config = parse(CaptionDataConfig, {"train": [train]}, "test")
    given = CaptionData.open(config, TOKENIZER, GREY, tmp_path / "c", 1, Reporter(), first.tokenizer)
    assert given.tokenizer is first.tokenizer


def test_samples_are_pictures_with_their_captions(tmp_path: Path) -> None:
    data = open_data(tmp_path, write_folder(tmp_path / "f", {i: f"caption {i}" for i in range(20)}))
    pictures, captions = data.samples()
    assert len(pictures) == len(captions) == len(set(captions)) > 1


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(QkvError, match=r"too few pictures to train on and to validate on$"):
        open_data(tmp_path, write_folder(tmp_path / "one", {1: "a"}))
    (tmp_path / "one" / "002.png").write_text("no picture")
    with pytest.raises(QkvError, match=r"too few pictures .*; .*002.png is not a picture"):
        open_data(tmp_path, {"folder": str(tmp_path / "one")})
    with pytest.raises(QkvError, match=r"tokenizer.separate is for translators"):
        open_data(tmp_path, {"folder": "f"}, tokenizer=TokenizerConfig(separate=True))
    for fields, said in (
        ({"train": []}, "train names no source"),
        ({"text_length": 0}, "text_length must be at least 1"),
        ({"holdout": 1.0}, "holdout must be above 0 and below 1"),
        ({"languages": {"en": 0}}, "weight of en must be positive"),
    ):
        with pytest.raises(QkvError, match=said):
            parse(CaptionDataConfig, {"train": [{"folder": "f"}], **fields}, "test")
