"""Files in folders, behind links too: each once, whatever the links lead to."""

import random
from pathlib import Path

import pytest

from qkv.data.folders import look_inside
from qkv.errors import QkvError


def make(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def inside(folder: Path) -> tuple[list[str], list[str]]:
    found = look_inside(folder)
    return tuple([str(path.relative_to(folder)) for path in part] for part in (found.files, found.not_entered))


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "b/2", "b/1", "b/c/3", "0", "._0", "b/.DS_Store", ".git/4", "b/.c/5", "..6")
    assert inside(tmp_path) == (["0", "b/1", "b/2", "b/c/3"], [])


def test_linked_folders_are_entered_behind_all_others(tmp_path: Path) -> None:
    mine, pool = make(tmp_path / "mine", "z/1"), make(tmp_path / "pool", "2", "deep/3")
    (mine / "a").symlink_to(pool)
    (mine / "0").symlink_to("z/1")
    assert inside(mine) == (["0", "z/1", "a/2", "a/deep/3"], [])
    (tmp_path / "all").symlink_to(mine)
    assert inside(tmp_path / "all")[0] == ["0", "z/1", "a/2", "a/deep/3"]


def test_loops_and_second_ways_are_noticed(tmp_path: Path) -> None:
    mine, pool = make(tmp_path / "mine", "z/1"), make(tmp_path / "pool", "2", "deep/3")
    make(tmp_path, "else/4")
    (mine / "z" / "self").symlink_to(".")
    (mine / "z" / "up").symlink_to(mine)
    (mine / "above").symlink_to(tmp_path)
    (mine / "again").symlink_to("z")
    (mine / "pool").symlink_to(pool)
    (pool / "deep" / "back").symlink_to(mine)
    (pool / "out").symlink_to(tmp_path)
    (mine / "nowhere").symlink_to("nowhere")
    files, not_entered = inside(mine)
    assert files == ["nowhere", "z/1", "pool/2", "pool/deep/3"]
    assert sorted(not_entered) == ["above", "again", "pool/deep/back", "pool/out", "z/self", "z/up"]


def test_folders_all_linked_to_one_another_are_each_entered_once(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(12)]  # 12! ways through them
    for name in names:
        make(tmp_path, f"{name}/file")
        for other in names:
            (tmp_path / name / f"to {other}").symlink_to(tmp_path / other)
    files, not_entered = inside(tmp_path)
    assert sorted(files) == sorted(f"{name}/file" for name in names)
    assert len(not_entered) == 12 * 12


@pytest.mark.parametrize("seed", range(20))
def test_what_is_reached_is_found_once_and_links_rename_nothing(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    folders = [tmp_path / "set" / "/".join(draw.choices("abc", k=depth)) for depth in (1, 2, 2, 3)]
    folders += [tmp_path / "pool" / name for name in "xyz"]
    for number, folder in enumerate(folders):
        make(folder, str(number))
    before = inside(tmp_path / "set")[0]
    for number in range(6):
        (draw.choice(folders) / f"link{number}").symlink_to(draw.choice([*folders, tmp_path, tmp_path / "set"]))
    files = inside(tmp_path / "set")[0]
    assert [name for name in files if name in before] == before
    real = [(tmp_path / "set" / name).resolve() for name in files]
    assert len(set(real)) == len(real)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1")

    def scandir(_: str) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "a"))

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(QkvError, match=r"a cannot be read \(Permission denied\): check its permissions"):
        look_inside(tmp_path)
