"""How many threads may compute, and how they wait for one another. Imports no PyTorch: some of it comes before."""

import os
from pathlib import Path

# PyTorch's OpenMP runtime reads these once, when its library is loaded.
_HOW_THREADS_WAIT = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_without_spinning() -> None:
    """Let threads sleep while they wait for others, unless the environment says how.

    To be called before PyTorch is loaded. Threads that spin take a processor from whoever else wants it, the thread
    that they wait for among them: on busy processors that costs many times what waking up does.
    """
    if not any(name in os.environ for name in _HOW_THREADS_WAIT):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def threads_are_given() -> bool:
    """Whether the environment says how many threads compute, which is then left as it is."""
    return bool(os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"))


def cores(root: Path = Path("/")) -> int:
    """The processors that this process may use: those it is bound to, or as many as its control groups allow.

    A quota of one and a half processors counts as two. `root` is the file system that /proc and /sys are read from.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min([bound, *(-(-quota // period) for quota, period in _quotas(root))]), 1)


def _quotas(root: Path) -> list[tuple[int, int]]:
    """Microseconds of processor time, in every so many microseconds, of this process's control groups and their own."""
    found = []
    for line in filter(None, _text(root / "proc/self/cgroup").split("\n")):
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2; "unified" is where it lies beside version 1
            mounts, names = ("", "unified"), ("cpu.max",)
        elif "cpu" in controllers.split(","):
            mounts, names = (controllers, "cpu"), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        # In a container the group's path may be the host's, of which only the last part, the root, is to be seen.
        groups = [group.strip("/"), *map(str, Path(group.strip("/")).parents), ""]
        for folder in {root / "sys/fs/cgroup" / mount / part for mount in mounts for part in groups}:
            numbers = " ".join(_text(folder / name) for name in names).split()
            if len(numbers) == 2 and all(number.isdecimal() and int(number) for number in numbers):
                found.append((int(numbers[0]), int(numbers[1])))  # "max" and -1 are no limit
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):  # not on this system, or not for us
        return ""
