"""Samples in .tar files: read at random from an index of headers, and damage told with its place."""

import gzip
import io
import json
import random
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from qkv.data.captions.readers import open_source
from qkv.data.captions.sources import CaptionSource
from qkv.data.pictures.shards import Shards
from qkv.errors import QkvError
from qkv.reporter import Reporter

Members = list[tuple[str, bytes]]


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("L", (4, 4), value).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, members: Members, form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(first: int, count: int) -> Members:
    pairs = [((f"{i:04}.png", png(i)), (f"{i:04}.txt", f"number {i}\nno. {i}".encode())) for i in range(first, count)]
    return [member for pair in pairs for member in pair]


def opened(tmp_path: Path, *places: str | Path) -> Shards:
    return Shards.open(list(map(str, places)), tmp_path / "cache", Reporter())


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_any_sample_is_read_by_its_place(form: int, tmp_path: Path) -> None:
    long = ("./deep/" + "x" * 150 if form != tarfile.USTAR_FORMAT else "./deep/x") + "é"
    members = [
        (f"{long}.JPG", b"jpg"),
        ("skip.cls", b"1"),
        (f"{long}.json", b"{}"),
        ("._a.png", b"mac"),
        ("b.png", b""),
    ]
    shard(tmp_path / "s" / "1.tar", members, form)
    shard(tmp_path / "s" / "0.tar", samples(0, 3), form)
    shards = opened(tmp_path, tmp_path / "s")
    assert [shards.name(i).split("sample ")[1] for i in range(5)] == [
        "0000",
        "0001",
        "0002",
        long.removeprefix("./"),
        "b",
    ]
    order = random.Random(1).sample(range(3), 3)
    assert [shards.read(i, "image") for i in order] == [png(i) for i in order]
    assert shards.read(1, "text") == b"number 1\nno. 1"
    assert (shards.read(3, "image"), shards.read(3, "json"), shards.read(3, "text")) == (b"jpg", b"{}", None)
    assert shards.read(4, "image") == b""


def test_hidden_shards_and_hidden_files_in_them_are_passed_over(tmp_path: Path) -> None:
    """What a Mac leaves on disks and in archives of others: the other half of each file, and folders of its own."""
    hidden = [
        ("._0000.png", b"mac"),
        ("__MACOSX/._0001.png", b"mac"),
        (".Trashes/0002.png", b"gone"),
        ("./.x.txt", b"x"),
    ]
    shard(tmp_path / "s" / "0.tar", [*samples(0, 2), *hidden, ("../up.png", png(2))])
    (tmp_path / "s" / "._0.tar").write_bytes(b"\0\x05\x16\x07" + bytes(4000))
    (tmp_path / "s" / ".Trashes").mkdir()
    (tmp_path / "s" / ".Trashes" / "1.tar").write_bytes(bytes(4000))
    for place in ("s", "s/*.tar", "**/*.tar"):
        shards = opened(tmp_path, tmp_path / place)
        assert [shards.name(i).split("sample ")[1] for i in range(len(shards))] == ["0000", "0001", "../up"]


def test_captions_end_at_line_feeds(tmp_path: Path) -> None:
    texts = "a sun\u2028at noon\r\n\n a\x0bmoon\x85\n".encode()
    path = shard(tmp_path / "s.tar", [("0.png", png(1)), ("0.txt", b"\xef\xbb\xbf" + texts)])
    found = open_source(CaptionSource(shards=str(path)), tmp_path / "cache", Reporter())
    assert [text for _, text in found.texts(0)] == ["a sun\u2028at noon", "a\x0bmoon"]


def test_the_index_is_made_once_of_headers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shard(tmp_path / "big.tar", [("a.png", bytes(2_000_000)), *samples(1, 3)])
    taken, real = [], Path.open

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            taken.append(len(content))
            return content

    def counted(self: Path, *given, **named):
        file = real(self, *given, **named)
        return Counted(file.detach()) if self == path else file

    monkeypatch.setattr(Path, "open", counted)
    opened(tmp_path, path)
    assert 0 < sum(taken) < 50_000
    taken.clear()
    assert len(opened(tmp_path, path)) == 3
    assert not taken


def test_damaged_shards_are_told_with_shard_and_byte(tmp_path: Path) -> None:
    whole = shard(tmp_path / "x.tar", samples(0, 4)).read_bytes()
    path = tmp_path / "y.tar"

    def fault(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(QkvError) as error:
            opened(tmp_path, path)
        assert "\n" not in str(error.value)
        return str(error.value)

    first = 512 + -(-len(png(0)) // 512) * 512  # a header, and the picture in whole blocks
    assert "y.tar ends at byte 530, within 0000.png (from byte 512)" in fault(whole[:530])
    assert f"y.tar is damaged at byte {first:,}" in fault(whole[:first] + b"garbage" * 400)
    end = 4 * (first + 1024)
    assert f"y.tar lacks its end mark at byte {end:,}" in fault(whole[:end])
    assert f"y.tar goes on after its end mark at byte {end:,}" in fault(whole + whole)
    assert "y.tar is damaged at byte 0" in fault(b"no tar at all")
    assert "y.tar is damaged at byte 0" in fault(b"")
    assert "y.tar is compressed" in (said := fault(gzip.compress(whole))) and f"gunzip {path}" in said
    assert "no picture is in these 1 shards" in fault(bytes(10240))


def test_no_damage_of_a_header_ends_in_a_traceback(tmp_path: Path) -> None:
    whole = shard(tmp_path / "x.tar", [("é" * 120 + ".png", png(1)), *samples(0, 3)]).read_bytes()
    dice = random.Random(3)
    told = 0
    for trial in range(120):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 3, 40])):
            content[dice.randrange(len(content) - 9000)] = dice.randrange(256)
        path = tmp_path / f"{trial}.tar"
        path.write_bytes(content[: dice.choice([len(content), dice.randrange(len(content))])])
        try:
            opened(tmp_path, path)
        except QkvError as error:
            told += f"{trial}.tar" in str(error) or "no picture" in str(error)
        else:
            told += 1
    assert told == 120


def test_shards_that_change_or_say_things_twice(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", [*samples(0, 2), ("0001.jpg", b"twice")])
    shards = opened(tmp_path, path)
    with pytest.raises(QkvError, match=r"x.tar, sample 0001 has 2 files of the same kind \(image\): keep one"):
        shards.read(1, "image")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(QkvError, match=r"x.tar, sample 0000: the shard ends before byte"):
        shards.read(0, "text")
    path.unlink()
    with pytest.raises(QkvError, match=r"x.tar, sample 0000 cannot be read: No such file"):
        shards.read(0, "text")
    with pytest.raises(QkvError, match=r"there is no \.tar file"):
        opened(tmp_path, path)
    (tmp_path / "link.tar").symlink_to(path)
    with pytest.raises(QkvError, match=r"cannot index shards .*No such file.*link.tar"):
        opened(tmp_path, tmp_path / "*.tar")


def test_captions_of_samples(tmp_path: Path) -> None:
    told = {"caption": "from json", "en": ["a", "b"], "ko": "가"}
    members = [
        *samples(0, 1),
        ("1.png", png(1)),
        ("1.json", json.dumps(told).encode()),
        ("2.txt", b"no picture"),
        ("3.png", b"broken"),
        ("3.txt", b"x"),
        ("4.png", png(4)),
        ("5.png", png(5)),
        ("5.json", b"[]"),
        ("6.png", png(6)),
        ("6.txt", b"\xff"),
    ]
    path = str(shard(tmp_path / "x.tar", members))

    def source(**fields):
        return open_source(CaptionSource(shards=path, **fields), tmp_path / "cache", Reporter())

    plain = source(language="en")
    assert plain.texts(0) == [("en", "number 0"), ("en", "no. 0")]
    assert plain.texts(1) == [("en", "from json")]
    assert plain.pictures.picture(1, 1).getpixel((0, 0)) == 1
    for index, said in (
        (2, "sample 2 has no picture"),
        (3, "sample 3 is not a picture"),
        (4, "sample 4 has no caption"),
        (5, "sample 5: its .json holds no object"),
        (6, "sample 6: its caption is not UTF-8"),
    ):
        with pytest.raises(QkvError, match=said):
            plain.check(index)
    assert source(captions={"en": "en", "ko": "ko"}).texts(1) == [("en", "a"), ("en", "b"), ("ko", "가")]
