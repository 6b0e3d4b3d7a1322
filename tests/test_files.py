"""Files appear whole or not at all, under names nobody can foresee, and tell whether they are what was written."""

import errno
import os
import resource
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qkv import files
from qkv.errors import QkvError
from qkv.files import CHECKSUMS, atomic_file, atomic_folder, copy_folder, find_damage, remove_folder, write_tensors


def write_file(path: Path, content: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(content)


def write_folder(path: Path, content: str, sealed: bool = False) -> None:
    with atomic_folder(path, sealed) as temporary:
        (temporary / "a").write_text(content)
        (temporary / "b").write_text(content[::-1])


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_what_fails_leaves_what_was_there(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    write(target, "first")
    with pytest.raises(ZeroDivisionError), (atomic_file if write is write_file else atomic_folder)(target) as temporary:
        assert os.listdir(tmp_path / "new") != ["target"]
        (temporary if write is write_file else temporary / "a").write_text("second")
        _ = 1 / 0
    assert os.listdir(tmp_path / "new") == ["target"]
    assert (target if write is write_file else target / "a").read_text() == "first"


def test_temporary_names_are_new_each_time_and_their_folder_is_private(tmp_path: Path) -> None:
    seen = set()
    for _ in range(5):
        with atomic_file(tmp_path / "out") as temporary:
            seen.add(temporary)
            assert stat.S_IMODE(temporary.parent.stat().st_mode) == 0o700
            temporary.touch()
    assert len(seen) == 5
    assert not any(str(os.getpid()) in str(path.relative_to(tmp_path)) for path in seen)


def test_a_link_laid_where_something_is_written_is_not_followed(tmp_path: Path) -> None:
    """Not under the target's own name, nor under the names that were once foreseeable."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place = tmp_path / "place"
    place.mkdir()
    for name in ("out", f".out.{os.getpid()}.tmp", ".qkv-.tmp", ".qkv-out.tmp"):
        (place / name).symlink_to(victim)
    write_file(place / "out", "new")
    assert victim.read_text() == "mine"
    assert not (place / "out").is_symlink()
    (place / "folder").symlink_to(tmp_path / "elsewhere")
    write_folder(place / "folder", "new")
    assert not (tmp_path / "elsewhere").exists()
    assert (place / "folder" / "a").read_text() == "new"


def test_a_link_in_the_place_of_a_leftover_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / ".qkv-abc.tmp").symlink_to(tmp_path / "precious")
    write_file(tmp_path / "out", "new")
    assert (tmp_path / "precious" / "file").exists()


def test_files_may_be_read_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "out", "new")
        write_folder(tmp_path / "folder", "new")
        write_tensors(tmp_path / "weights", {"a": torch.zeros(1)})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out", "folder", "folder/a", "weights")]
    assert modes == [0o640, 0o750, 0o640, 0o640]


def killed_in(work: Callable[[], object]) -> None:
    """Do the work in a forked process, which it kills."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def kill_itself(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_leftovers_of_killed_writers_go_with_the_next_write_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("half")
            kill_itself()

    killed_in(write)
    (leftover,) = tmp_path.iterdir()
    with atomic_folder(tmp_path / "other") as living:
        assert not leftover.exists()
        write_file(tmp_path / "third", "new")
        assert living.exists()
    assert sorted(os.listdir(tmp_path)) == ["other", "third"]


@pytest.mark.parametrize("swaps", [True, False])
@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_at_a_rename_leaves_the_old_or_the_new(
    swaps: bool, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the system cannot swap two names at once: the next writer then puts the old one back."""
    target = tmp_path / "target"
    write_folder(target, "old")

    def write() -> None:
        renames = [files._swap, os.rename]
        done = 0

        def renamed(rename: Callable[..., object], *names: Path) -> object:
            nonlocal done
            if moment == "before" or (moment == "between" and done == 1):
                kill_itself()
            result, done = rename(*names), done + 1
            if (moment == "after" and (swaps or done == 2)) or (moment == "between" and swaps):
                kill_itself()
            return result

        files._swap = (lambda *names: renamed(renames[0], *names)) if swaps else lambda *_: False
        os.rename = lambda *names: renamed(renames[1], *names)
        write_folder(target, "new")

    killed_in(write)
    if swaps:
        assert (target / "a").read_text() in ("old", "new")  # at once
    write_file(tmp_path / "next", "")
    assert (target / "a").read_text() == ("new" if moment == "after" or (swaps and moment == "between") else "old")
    assert sorted(os.listdir(tmp_path)) == ["next", "target"]


def test_a_folder_that_is_replaced_never_disappears(tmp_path: Path) -> None:
    target, ended, missing = tmp_path / "target", threading.Event(), []
    write_folder(target, "x")

    def look() -> None:
        while not ended.is_set():
            if not (target / "a").is_file():
                missing.append(time.monotonic())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(40):
        write_folder(target, str(number))
    ended.set()
    watcher.join()
    assert not missing


def test_what_is_renamed_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), sync(fd)))
    monkeypatch.setattr(os, "rename", lambda *names: (done.append("rename"), rename(*names)))
    write_folder(tmp_path / "target", "x")
    assert set(done[: done.index("rename")]) == {"a", "b", "target"}
    assert done[done.index("rename") + 1 :] == [tmp_path.name]


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_folder(tmp_path / "target", "old")
    monkeypatch.setattr(os, "fsync", full)
    for write, name in ((write_folder, "target"), (write_file, "new")):
        with pytest.raises(QkvError) as raised:
            write(tmp_path / name, "new")
        wanted = f"cannot write {tmp_path / name} (No space left on device): choose another place, or free some space"
        assert str(raised.value) == wanted
    assert os.listdir(tmp_path) == ["target"]
    assert (tmp_path / "target" / "a").read_text() == "old"


def test_weights_that_the_disk_does_not_hold(tmp_path: Path) -> None:
    """safetensors has an error of its own for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        too_large = pytest.raises(QkvError, match=r"cannot write .*weights \(File too large\)")
        with too_large, atomic_file(tmp_path / "weights") as temporary:
            write_tensors(temporary, {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_with_another_file_is_not_told_of_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "out"):
        (tmp_path / "source").read_text()


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(QkvError, match=f"cannot write {path} \\(it is a device or a pipe\\)"):
            write_file(path, "new")
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    write_file(tmp_path / ("x" * 255), "new")
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("file", ["a", "b", CHECKSUMS])
def test_flipped_bits_and_cut_files_of_a_sealed_folder_are_told(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_folder(folder, "some text", sealed=True)
    assert not find_damage(folder)
    whole = (folder / file).read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (folder / file).write_bytes(flipped)
        assert find_damage(folder), place
    for length in range(0, len(whole), 7):
        (folder / file).write_bytes(whole[:length])
        assert find_damage(folder), length


def test_other_damage_of_sealed_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_folder(tmp_path / name, name, sealed=True)
    (tmp_path / "one" / "stray").touch()
    assert not find_damage(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "three")
    assert find_damage(tmp_path / "three") == "it was written as one"
    (tmp_path / "two" / "a").unlink()
    assert find_damage(tmp_path / "two") == "a: No such file or directory"
    write_folder(tmp_path / "old", "never sealed")
    assert not find_damage(tmp_path / "old")


def test_copies_are_sealed_and_what_is_removed_goes_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path / "original", "text", sealed=True)
    copy_folder(tmp_path / "original", tmp_path / "copy")
    assert not find_damage(tmp_path / "copy")
    (tmp_path / "copy" / "a").write_text("tex")
    assert find_damage(tmp_path / "copy") == "a is not what was written"
    remove_folder(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["original"]


def test_tensors_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.zeros(())}
    write_tensors(tmp_path / "weights", tensors)
    found = load_file(tmp_path / "weights")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
