"""Memory that preparing and iterating parallel text takes, for few and for many pairs.

    python -m benchmarks.data_memory [--pairs 10000 3000000] [--json FILE]

Synthetic pairs are written to a temporary folder; each stage then runs in a process of its own: importing the
libraries, reading the text into Arrow, learning the vocabulary (from at most 500,000 lines), tokenizing with hold-out
and report, and making every batch of an epoch. Anonymous memory is what the process itself allocates. Total memory also
counts pages of memory-mapped files, which the system takes back when it needs them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

STAGES = ("import", "read", "tokenizer", "prepare", "epoch")
PACKAGES = ("qkv", "pyarrow", "sentencepiece", "numpy", "torch")


def main() -> None:
    """Run every stage for every size and print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 3_000_000])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--stage", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage, folder = options.stage
        print(json.dumps(measure(stage, Path(folder))))
        return
    figures = {pairs: run(pairs) for pairs in options.pairs}
    result = {
        "peak_mib": figures,
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
    }
    show(figures)
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def run(pairs: int) -> dict[str, dict[str, float]]:
    """Peaks of every stage, each in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), pairs)
        figures = {}
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.data_memory", "--stage", stage, folder]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            figures[stage] = json.loads(output.splitlines()[-1])
            print(f"{pairs:,} pairs, {stage}: {figures[stage]}", file=sys.stderr)
        return figures


def generate(folder: Path, pairs: int) -> None:
    """Two line-aligned files of made-up words with Zipf's frequencies, 3 to 30 words a line."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    for language in ("aa", "bb"):
        words = np.array(["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, 20_000)])
        with (folder / f"text.{language}").open("w") as file:
            for start in range(0, pairs, 50_000):
                sizes = rng.integers(3, 31, min(50_000, pairs - start))
                ranks = (20_000 ** rng.random(sizes.sum())).astype(int) - 1
                lines = np.split(words[ranks], np.cumsum(sizes)[:-1])
                file.writelines(" ".join(line) + "\n" for line in lines)


def measure(stage: str, folder: Path) -> dict[str, float]:
    """Peaks in MiB, and seconds, of one stage in this process."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.monotonic()
    batches = work(stage, folder)
    seconds = time.monotonic() - begin
    peak = max(peak, status("RssAnon"))
    done.set()
    watcher.join()
    figures = {"anonymous": round(peak, 1), "total": round(status("VmHWM"), 1), "seconds": round(seconds, 1)}
    return figures | ({"batches": batches} if batches else {})


def status(field: str) -> float:
    """A figure of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def work(stage: str, folder: Path) -> int:
    """One stage; the number of batches it made."""
    from qkv.data.parallel.config import CorpusConfig, DataConfig
    from qkv.data.parallel.data import ParallelData
    from qkv.data.parallel.text import ParallelText
    from qkv.data.parallel.vocabulary import Codec
    from qkv.data.text.tokenizer import TokenizerConfig
    from qkv.reporter import Reporter

    if stage == "import":
        return 0
    files = {language: str(folder / f"text.{language}") for language in ("aa", "bb")}
    config = DataConfig(train=[CorpusConfig(files=files, directions=["aa-bb"])])
    tokenizer = TokenizerConfig(vocabulary=8000)
    text = ParallelText.open(config, folder, Reporter())
    if stage == "read":
        return 0
    if stage == "tokenizer":
        codec = text.train_codec(tokenizer)
        for name, content in codec.files().items():
            (folder / name).write_bytes(content)
        (folder / "config.json").write_text(json.dumps(codec.config()))
        return 0
    codec = Codec.load(folder, json.loads((folder / "config.json").read_text()))
    data = ParallelData(text, codec, tokenizer, folder, seed=1, reporter=Reporter())
    if stage == "prepare":
        assert data.report.train[0].pairs
        return 0
    for index in range(data.n_batches(0)):
        data.batch(0, index)
    return data.n_batches(0)


def show(figures: dict[int, dict[str, dict[str, float]]]) -> None:
    """The peaks as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="peak memory in MiB: anonymous (total)")
    table.add_column("pairs", justify="right")
    for stage in STAGES:
        table.add_column(stage, justify="right")
    for pairs, stages in figures.items():
        table.add_row(f"{pairs:,}", *(f"{peak['anonymous']:.0f} ({peak['total']:.0f})" for peak in stages.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
