"""Pictures that come up twice: however they are reached, and where each is used."""

import os
from pathlib import Path

import numpy as np
import pytest

from qkv.data.repeats import each_once, find_copies, hash_content, hash_names
from qkv.errors import QkvError


def test_links_do_not_make_another_picture(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "a/2.png", "t.csv"):
        (tmp_path / name).touch()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "3.png").symlink_to("a/2.png")
    (tmp_path / "u.csv").symlink_to("t.csv")
    one, same, two, linked, relative = hash_names(
        [*(str(tmp_path / name) for name in ("a/1.png", "b/1.png", "a/2.png", "3.png")),
         os.path.relpath(tmp_path / "a" / "1.png")], tmp_path
    )  # fmt: skip
    assert one == same == relative != two == linked
    rows = [hash_names([f"{tmp_path / name}, row 1", f"{tmp_path / name}, row 2"], tmp_path / name).tolist()
            for name in ("t.csv", "u.csv")]  # fmt: skip
    assert rows[0] == rows[1]
    assert len(set(rows[0])) == 2


def test_each_is_used_once_and_validation_goes_first() -> None:
    hashes = [hash_names(names, Path("x")) for names in ("abcb", "cd", "dbe")]
    fresh = [found.tolist() for found in each_once(hashes, 2, within=False)]
    assert fresh == [[True, False, True, False], [False, False], [True, True, True]]
    fresh = [found.tolist() for found in each_once(hashes, 3, within=True)]
    assert fresh == [[True, True, True, False], [False, True], [False, False, True]]
    assert [found.tolist() for found in each_once([hashes[0], hash_names("", Path("x"))], 1, within=False)] == [
        [True] * 4, []
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("within", [False, True])
def test_copies_are_left_out_and_what_is_aside_stays(within: bool, seed: int) -> None:
    """Against the definition, thing by thing: a set of contents that came up before."""
    draw = np.random.default_rng(seed)
    contents, aside = draw.integers(0, 2**64, 9, np.uint64)[draw.integers(0, 9, 30)], draw.random(30) < seed / 12
    copies, originals = find_copies(contents, aside, within=within)
    before, expected = set(contents[aside].tolist()), []
    for number in np.flatnonzero(~aside).tolist():
        if contents[number] in before:
            expected.append(number)
        elif within:
            before.add(int(contents[number]))
    assert copies.tolist() == expected
    assert (contents[originals] == contents[copies]).all()
    assert not set(originals.tolist()) & set(copies.tolist())
    assert within or aside[originals].all()


def test_contents_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(70_000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").write_bytes(bytes(69_999) + b"\1")
    one, link, other = (hash_content(str(tmp_path / name)) for name in "abc")
    assert one == link == hash_content(bytes(70_000)) == hash_content(np.zeros((700, 100), np.uint8)) != other
    assert 0 <= one < 2**64
    with pytest.raises(QkvError, match="d cannot be read"):
        hash_content(tmp_path / "d")
