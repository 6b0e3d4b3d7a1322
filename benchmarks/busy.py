"""What threads cost where other processes want the processors: `python -m benchmarks.busy [--busy N] [--rounds N]`.

Translates with the bundled model in a process of its own, start included, while nothing else runs and while as many
processes as there are processors do nothing but count. Each way in turn, and so on for some rounds; medians are shown.
On a machine with other work, the first figures are those of a somewhat busy machine: the load beside them says so.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from qkv.runtime.threads import cores

WAYS = {
    "default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "spinning, as OpenMP does by itself": {"GOMP_SPINCOUNT": "300000"},
}
SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
WORDS = (("Two", "Three", "Some"), ("dogs", "men", "girls"), ("play", "run", "sit"), ("in the snow", "on a beach"))


def main() -> None:
    """Print JSON: seconds of each way, of wall clock and of processor time, and the machine's load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=cores(), help="processes that count")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = {}
    for name, number in {"idle": 0, "busy": options.busy}.items():
        with counting(number):
            found[name] = {"processes that count": number, **measure(options.rounds), "load": os.getloadavg()[0]}
    print(json.dumps({"cores": cores(), "rounds": options.rounds, **found}, indent=2))


@contextmanager
def counting(number: int) -> Iterator[None]:
    """So many processes that take all the time of a processor that they get."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(rounds: int) -> dict[str, object]:
    """Medians of each way, and how much longer than one thread it takes."""
    times = {way: [] for way in WAYS}
    for _, way in itertools.product(range(rounds), WAYS):
        times[way].append(translate(WAYS[way]))
    medians = {way: [statistics.median(numbers) for numbers in zip(*runs)] for way, runs in times.items()}
    return {
        way: {"seconds": round(wall, 2), "of processors": round(used, 2), "to one thread": round(wall / one, 2)}
        for one in [medians["one thread"][0]]
        for way, (wall, used) in medians.items()
    }


def translate(how: dict[str, str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, to translate some dozens of captions in a new process."""
    captions = "\n".join(" ".join(words) + "." for words in itertools.product(*WORDS))
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    used, began = of_children(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "qkv", "translate", "--from", "en", "--to", "de"],
        input=captions.encode(),
        stdout=subprocess.DEVNULL,
        env={**environment, "HF_HUB_OFFLINE": "1", **how},
        check=True,
    )
    return time.perf_counter() - began, of_children() - used


def of_children() -> float:
    """Seconds of processor time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
