"""Kill trainings with SIGKILL, go on with them, and compare the end with that of one that was left alone, bit for bit.

    python -m benchmarks.kills                    # 100 kills over all systems, in one and two processes
    python -m benchmarks.kills 20 codes painter   # so many, of these systems

Half of the kills come at a random time, half at a file operation: before an `open` for writing, a rename, a swap of two
names, an `fsync` or a removal in the run's folder, inside checkpoints among them. In two processes the one that writes
dies, or the other. Exits with 0 if all runs end the same.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", COLUMNS="200")

import numpy as np
import torch
from PIL import Image

import qkv.cli.main
import qkv.runs.run
from qkv import files
from qkv.systems.registry import systems
from qkv.train.launch import MEETING, SECRET

_MOST_SECONDS = 600.0
_MODEL = "d_model: 16, n_heads: 2, n_layers: 1, d_ff: 32, dropout: 0.1"
_TRAINING = (
    "training: {max_steps: 24, validate_every: 6, log_every: 3, warmup: 4, ema: 0.9, keep_best: 2, accumulate: 2"
)
_TRAINING += ", device: cpu"


def main() -> None:
    words = sys.argv[1:]
    kills = int(words.pop(0)) if words and words[0].isdigit() else 100
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="qkv-kills-"))
    recipes = make_data(folder)
    chosen = words or [name for name in recipes if name in {system.name for system in systems()}]
    rng, bad, done = random.Random(1), 0, 0
    assert not set(chosen) - {*recipes}, f"known are {', '.join(recipes)}"
    if "painter" in chosen:
        assert train(folder, "codes", folder / "kept-codes", 1) == 0
    for number, system in enumerate(chosen):
        for processes in (1, 2):
            share = kills // (2 * len(chosen)) + (2 * number + processes <= kills % (2 * len(chosen)))
            bad += _try(folder, system, processes, share, rng)
            done += share
    print(f"{done} kills, {bad} runs that did not end as those left alone")
    if not bad:
        shutil.rmtree(folder)
    sys.exit(bad > 0)


def _try(folder: Path, system: str, processes: int, kills: int, rng: random.Random) -> int:
    """Kill so many times; gives the number of runs that ended otherwise."""
    whole, begin = folder / f"{system}-{processes}", time.monotonic()
    assert train(folder, system, whole, processes) == 0, (folder / "stderr").read_text()
    seconds, wanted = time.monotonic() - begin, end_of(whole)
    traced = folder / "traced"
    assert train(folder, system, traced, processes, _Killer(traced, at=0)) == 0
    points = (folder / "points").read_text().splitlines()
    assert end_of(traced) == wanted, "two runs that nobody disturbed differ"
    shutil.rmtree(traced)
    bad = 0
    for number in range(kills):
        run = folder / f"{system}-{processes}-{number}"
        if number % 2:
            at = rng.randrange(len(points))
            what = points[at].replace(str(traced), "RUN")
            status = train(folder, system, run, processes, _Killer(run, at=at + 1))
        else:
            after = rng.uniform(0.1, seconds)
            what = f"after {after:.2f} s"
            status = train(folder, system, run, processes, seconds=after, victim=rng.randrange(processes))
        again = train(folder, system, run, processes)
        same = again == 0 and end_of(run) == wanted and not list(run.rglob(".qkv-*"))
        print(f"{'same ' if same else 'OTHER'} {system}, {processes} processes, killed {what} ({status})", flush=True)
        bad += not same
        if same:
            shutil.rmtree(run)
        else:
            print((folder / "stderr").read_text()[-2000:])
    return bad


class _Killer:
    """Counts operations on files in a run, and kills its process before one of them."""

    def __init__(self, run: Path, at: int) -> None:
        self.run, self.at, self.seen = str(run), at, 0
        self.points = run.parent / "points"

    def install(self) -> None:
        """In this process."""
        if not self.at:
            self.points.write_text("")
        sys.addaudithook(self._hear)
        swap, sync = files._swap, os.fsync

        def told_swap(new: Path, old: Path) -> bool:
            self._count("swap", str(old))
            return swap(new, old)

        def told_sync(descriptor: int) -> None:
            self._count("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            sync(descriptor)

        files._swap, os.fsync = told_swap, told_sync

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree") or (
            event == "open" and isinstance(arguments[1], str) and {*arguments[1]} & {*"wax+"}
        ):
            self._count(event, str(arguments[0]))

    def _count(self, event: str, path: str) -> None:
        if path.startswith(f"{self.run}/"):
            self.seen += 1
            if not self.at:
                with open(self.points.with_suffix(""), "a") as file:
                    file.write(f"before {event} {path}\n")
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def train(
    folder: Path,
    system: str,
    run: Path,
    processes: int,
    killer: _Killer | None = None,
    seconds: float | None = None,
    victim: int = 0,
) -> int:
    """Begin a run or go on with it; kill one process after so many seconds. Gives the status of the first."""
    begun = (run / "recipe.yaml").exists()
    words = ["train", str(run)] if begun else ["train", str(folder / f"{system}.yaml"), "--out", str(run)]
    with tempfile.TemporaryDirectory() as meeting:
        (Path(meeting) / SECRET).write_bytes(os.urandom(32))
        workers = []
        for rank in range(processes):
            shared = {MEETING: meeting, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
            prepare = killer.install if killer and not rank else None
            workers.append(_fork(words, folder / "stderr", shared if processes > 1 else {}, prepare))
        return _wait(workers, seconds, victim)


def _wait(workers: list[int], seconds: float | None, victim: int) -> int:
    begin, ended = time.monotonic(), {}
    while len(ended) < len(workers):
        for rank, worker in enumerate(workers):
            if rank not in ended and (found := os.waitpid(worker, os.WNOHANG))[0]:
                ended[rank] = os.waitstatus_to_exitcode(found[1])
        if seconds is not None and victim not in ended and time.monotonic() - begin > seconds:
            os.kill(workers[victim], signal.SIGKILL)
            seconds = None
        if any(ended.values()) and len(ended) < len(workers):  # as the launcher does
            for rank in {*range(len(workers))} - {*ended}:
                os.kill(workers[rank], signal.SIGTERM)
        assert time.monotonic() - begin < _MOST_SECONDS, "it hangs"
        time.sleep(0.01)
    return ended[0]


def _fork(words: list[str], stderr: Path, environment: dict[str, str], prepare: Callable[[], None] | None) -> int:
    """`qkv` with these words in a forked process, which finds everything imported."""
    process = os.fork()
    if process:
        return process
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
    os.dup2(os.pipe()[0], 0)  # which ends with this process
    os.environ.update(environment, GLOO_SOCKET_IFNAME="lo")
    if prepare is not None:
        prepare()
    sys.argv, status = ["qkv", *words], 1
    try:
        qkv.cli.main.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def end_of(run: Path) -> dict[str, str]:
    """All that a run ends with, but times."""
    *_, last = sorted(run.glob("checkpoints/step-*"))
    kept = {"kept": ",".join(path.name for path in sorted(run.glob("checkpoints/*")))}
    weights = [*last.glob("*.safetensors"), run / "model" / "model.safetensors", run / "model" / "config.json"]
    found = {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in weights}
    progress = json.loads((last / "progress.json").read_text())
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    # A loss is the mean since the last line, or since the run went on: validations are what can be compared.
    scores = [{name: value for name, value in line.items() if name.startswith("validation_")} for line in lines]
    return {**kept, **found, "progress": str({**progress, "seconds": 0}), "metrics": str(scores)}


def make_data(folder: Path) -> dict[str, str]:
    """Pictures, pairs of sentences, and recipes by system."""
    for number, colour in enumerate(("red", "green", "blue")):
        (folder / "photos" / colour).mkdir(parents=True)
        for picture in range(16):
            pixels = np.random.default_rng(100 * number + picture).integers(0, 90, (16, 16, 3)).astype(np.uint8)
            pixels[..., number] += 150
            Image.fromarray(pixels).save(folder / "photos" / colour / f"{picture}.png")
    english, german = (
        ["the", "a", "red", "old", "dog", "cat", "man", "runs"],
        ["der", "ein", "rote", "alte", "Hund", "Kater", "Mann", "rennt"],
    )
    rng, rows = random.Random(5), []
    for _ in range(200):
        words = rng.choices(range(8), k=rng.randint(3, 9))
        rows.append("\t".join(" ".join(side[word] for word in words) for side in (english, german)))
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n")
    photos = f"train: [{{folder: {folder}/photos}}], holdout: 0.2, batch_size: 8"
    captions = (
        f"train: [{{labelled: {{folder: {folder}/photos}}, templates: ['a {{label}} picture', 'the {{label}}']}}]"
    )
    captions += ", holdout: 0.2, batch_size: 8, text_length: 16"
    codes = (
        "model: {image_size: 16, codes: 16, d_code: 8, width: 8, downsamplings: 2, quantiser: vq, reconstruction: l1}"
    )
    tower = "d_model: 16, n_heads: 2, n_layers: 1, d_ff: 32"
    recipes = {
        "translator": f"data: {{train: [{{table: {folder}/pairs.tsv, columns: [en, de]}}], batch_tokens: 256, holdout: "
        f"4}}\ntokenizer: {{vocabulary: 300, sampling: 0.1}}\nmodel: {{{_MODEL}}}\n{_TRAINING}}}",
        "classifier": f"data: {{{photos}}}\nmodel: {{image_size: 16, patch_size: 8, {_MODEL}}}\n"
        f"{_TRAINING}, workers: 1}}",
        "codes": f"data: {{{photos}}}\n{codes}\npenalty_warmup: 0\n{_TRAINING}}}",
        "painter": f"codes: {folder}/kept-codes\ndata: {{{captions}}}\ntokenizer: {{vocabulary: 290}}\n"
        f"model: {{grid: 4, text_length: 16, {_MODEL}}}\n{_TRAINING}}}",
        "scorer": f"data: {{{captions}}}\ntokenizer: {{vocabulary: 290}}\nmodel: {{d_shared: 16, image: {{"
        f"image_size: 16, patch_size: 8, {tower}}}, text: {{text_length: 16, {tower}}}}}\n{_TRAINING}}}",
    }
    for system, recipe in recipes.items():
        (folder / f"{system}.yaml").write_text(f"system: {system}\nseed: 3\n{recipe}\n")
    return recipes


if __name__ == "__main__":
    main()
