"""What benchmarks share: contestants take turns, and the output says what took part and where."""

import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

SECONDS = 0.5  # that one turn lasts, at least
PAUSE = 0.3  # before each turn, until the threads of the one before have stopped spinning

Turn = Callable[[], object]


def contest(turns: dict[str, Turn], rounds: int) -> dict[str, float]:
    """Median seconds of one call of each, measured in turns."""
    for turn in turns.values():
        turn()
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    order = list(turns.items())
    draw = random.Random(0)
    for _ in range(rounds):
        draw.shuffle(order)  # nobody always follows the same one
        for name, turn in order:
            time.sleep(PAUSE)
            calls, start = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < SECONDS or not calls:
                turn()
                calls += 1
            seconds[name].append(elapsed / calls)
    return {name: statistics.median(found) for name, found in seconds.items()}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of what took part."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> str:
    """Where it ran."""
    return f"{platform.platform()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
