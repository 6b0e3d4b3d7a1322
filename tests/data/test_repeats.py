"""Pictures that come up twice: however they are reached, and where each is used."""

import os
from pathlib import Path

from qkv.data.repeats import each_once, hash_names


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
