"""What is kept: keys that must not change, and tables that are whole or made anew."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from qkv.data.cache import digest, read_arrow, read_record, write_arrow, write_record
from qkv.reporter import Reporter

SCHEMA = pa.schema([("number", pa.int64())])


def batches(count: int, size: int = 3) -> list[pa.RecordBatch]:
    columns = [pa.array(range(start * size, (start + 1) * size)) for start in range(count)]
    return [pa.RecordBatch.from_arrays([column], schema=SCHEMA) for column in columns]


def test_keys_are_those_of_the_runs_that_there_are() -> None:
    assert digest("a", 1, None, ["b", {"c": 2.5}]) == "101b6a72ac6ad313"
    assert digest(("x", "ü"), Path("a/b"), b"bytes") == digest(["x", "ü"], "a/b", b"bytes")
    assert digest(b"bytes") != digest("bytes") != digest(["bytes"])
    with pytest.raises(TypeError, match="no place in a key"):
        digest(SCHEMA)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_table_is_read_as_it_was_written(count: int, tmp_path: Path) -> None:
    file = tmp_path / "new" / "t.arrow"
    assert read_arrow(file) is None
    heard: list[tuple[object, ...]] = []
    reporter = Reporter()
    reporter.progress = lambda *told: heard.append(told)
    write_arrow(file, SCHEMA, batches(count), reporter, "counting", 12)
    assert heard == [("counting", 3 * (done + 1), 12) for done in range(count)]
    found = read_arrow(file)
    assert found is not None and found.schema == SCHEMA
    assert found["number"].to_pylist() == list(range(3 * count))
    assert found["number"].num_chunks == count
    assert sorted(path.name for path in file.parent.iterdir()) == ["t.arrow", "t.crc32"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-20],
        lambda content: b"",
        lambda content: content[: len(content) // 2] + b"\x07" + content[len(content) // 2 + 1 :],
        lambda content: content + b"\0",
    ],
)
def test_a_damaged_table_is_none(harm: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "t.arrow"
    write_arrow(file, SCHEMA, batches(4))
    file.write_bytes(harm(file.read_bytes()))
    assert read_arrow(file) is None
    assert caplog.messages == [f"{file} is damaged or cut short: it is made anew"]
    write_arrow(file, SCHEMA, batches(4))
    assert read_arrow(file) is not None


def test_a_table_of_which_nothing_was_noted_is_made_anew_without_a_word(tmp_path: Path, caplog) -> None:
    write_arrow(tmp_path / "t.arrow", SCHEMA, batches(1))
    (tmp_path / "t.crc32").unlink()
    assert read_arrow(tmp_path / "t.arrow") is None
    assert not caplog.messages


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    def broken() -> object:
        yield from batches(2)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_arrow(tmp_path / "t.arrow", SCHEMA, broken())  # pyright: ignore
    assert not list(tmp_path.iterdir())


def test_a_table_in_anothers_place_with_its_checksum_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ab":
        write_arrow(tmp_path / f"{name}.arrow", SCHEMA, batches(1))
    for suffix in (".arrow", ".crc32"):
        (tmp_path / f"a{suffix}").replace(tmp_path / f"b{suffix}")
    assert read_arrow(tmp_path / "b.arrow") is None
    assert caplog.messages == [f"{tmp_path / 'b.arrow'} is damaged or cut short: it is made anew"]


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    write_arrow(tmp_path / "t.arrow", SCHEMA, batches(1))
    checksum = tmp_path / "t.crc32"
    checksum.write_text(checksum.read_text().split()[0])
    assert read_arrow(tmp_path / "t.arrow") is not None


def test_records_come_back_and_damage_of_them_is_told(tmp_path: Path) -> None:
    file, record = tmp_path / "split.json", {"classes": ["a", "ü"], "seed": 3}
    write_record(file, record)
    assert read_record(file) == record
    whole = file.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            found = read_record(file)
        except ValueError:
            continue
        assert "classes" not in found, place  # it is no record, which whoever reads it refuses
    file.write_text('{"classes": [], "seed": 1}')
    assert read_record(file) == {"classes": [], "seed": 1}  # of an older version
