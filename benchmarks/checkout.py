"""A checkout of the library, run in processes of its own; and what two of them cost, side by side."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().with_name("same_outputs_worker.py")
QKV = ("-m", "qkv")
TRANSLATE = ("translate", "--to", "de", "Two dogs are playing in the snow.")
ROUNDS = 7


class CommandFailed(Exception):
    """A command of a checkout did not end well; says how."""


@dataclass(frozen=True)
class Checkout:
    """A copy of the sources of a checkout, which stays as it is whatever happens to the checkout.

    Attributes:
        origin: the checkout.
        folder: the copy of its `src`, and where commands run.
        threads: that they compute with.
    """

    origin: Path
    folder: Path
    threads: int

    @classmethod
    def copy(cls, origin: Path, folder: Path, threads: int) -> "Checkout":
        """Copy the sources into a folder that is not there yet."""
        shutil.copytree(origin / "src/qkv", folder / "src/qkv", ignore=shutil.ignore_patterns("__pycache__"))
        checkout = cls(origin.resolve(), folder, threads)
        imported = checkout.run(["-c", "import qkv; print(qkv.__file__)"]).decode().strip()
        if not Path(imported).is_relative_to(folder):
            raise CommandFailed(f"{origin}: Python imports {imported} instead")
        return checkout

    def start(self, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start Python with the checkout's library."""
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        threads["OMP_WAIT_POLICY"] = "passive"  # threads that spin are slow where other processes want the cores
        here = {"PYTHONPATH": str(self.folder / "src"), "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **here, **threads},
        )

    def run(self, arguments: Sequence[str]) -> bytes:
        """What Python prints with the checkout's library.

        Raises:
            CommandFailed: the exit status is not 0.
        """
        process = self.start(arguments)
        output, errors = process.communicate()
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-3:]
            raise CommandFailed(f"exit {process.returncode}: {' / '.join(last)}")
        return output

    def version(self) -> dict[str, Any]:
        """Where it is, at which commit, and whether there are changes to it."""
        git = ["git", "--no-optional-locks", "-C", str(self.origin)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True).stdout
        return {"checkout": str(self.origin), "commit": commit, "changed": bool(changes)}


Both = dict[str, Checkout]  # "before" and "after"


def cost(both: Both, inputs: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What verbs import, and how long they take.

    Raises:
        CommandFailed: one of them does not work.
    """
    verbs = {
        "translate": TRANSLATE,
        "draw": ("draw", "fashion-draw", "an ankle boot"),
        "train": ("train", str(inputs / "classes"), "--system", "vit"),
    }
    imported: dict[str, Any] = {}
    for verb, arguments in verbs.items():
        say(f"cost: modules of {verb}")
        imported[verb] = {name: imports(checkout, arguments) for name, checkout in both.items()}
    return {"modules": imported, "seconds": times(both, say)}


def imports(checkout: Checkout, arguments: Sequence[str]) -> dict[str, Any]:
    """The modules that a command imports: how many are the library's, how many there are, and names of the former."""
    file = checkout.folder / "modules.json"
    file.unlink(missing_ok=True)
    checkout.run([str(WORKER), "modules", str(file), *arguments])
    names = json.loads(file.read_text())
    ours = [name for name in names if name.split(".")[0] == "qkv"]
    return {"qkv": len(ours), "all": len(names), "names": ours}


def times(both: Both, say: Callable[[str], None]) -> dict[str, Any]:
    """Median seconds of `--help` and of a translation, the checkouts in turns, and after's share of before's."""
    turns = {"--help": ("--help",), "translate, first line": TRANSLATE}
    found: dict[str, Any] = {}
    for turn, arguments in turns.items():
        seconds: dict[str, list[float]] = {name: [] for name in both}
        for number in range(ROUNDS + 1):  # the first is to warm up
            say(f"cost: seconds of {turn}, {number} of {ROUNDS}")
            for name in list(both)[:: (-1) ** number]:
                seconds[name].append(seconds_to_output(both[name], arguments))
        seconds = {name: runs[1:] for name, runs in seconds.items()}
        medians = {name: statistics.median(runs) for name, runs in seconds.items()}
        found[turn] = {**medians, "ratio": medians["after"] / medians["before"], "runs": seconds}
    return found


def seconds_to_output(checkout: Checkout, arguments: Sequence[str]) -> float:
    """From the start of `qkv` to its first line, or to its end if it prints help."""
    begin = time.perf_counter()
    process = checkout.start([*QKV, *arguments])
    assert process.stdout is not None
    first = process.stdout.readline()
    seconds = time.perf_counter() - begin
    process.communicate()
    if "--help" in arguments:
        seconds = time.perf_counter() - begin
    if process.returncode or not first:
        raise CommandFailed(f"qkv {' '.join(arguments)}: exit {process.returncode}")
    return seconds
