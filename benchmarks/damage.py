"""Damage checkpoints and prepared data of runs, go on with the runs, and see that no damage goes unnoticed.

    python -m benchmarks.damage                    # 500 times, over all systems
    python -m benchmarks.damage 50 codes painter   # so many, of these systems

A file is cut, has a bit flipped, or swaps its place with another of its kind; the run has a few steps to go. Each
damage must be named by a warning or an error of one line, or be without effect on what the run ends with. Exits with 0
if none is silent and there is no traceback.
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from benchmarks.kills import end_of, make_data, train


def main() -> None:
    words = sys.argv[1:]
    times = int(words.pop(0)) if words and words[0].isdigit() else 500
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="qkv-damage-"))
    chosen = words or [*make_data(folder)]
    if words:
        make_data(folder)
    if "painter" in chosen:
        assert train(folder, "codes", folder / "kept-codes", 1) == 0
    rng, told = random.Random(1), Counter[str]()
    for number, system in enumerate(chosen):
        whole, longer = folder / system, folder / f"{system}-longer"
        assert train(folder, system, whole, 1) == 0
        _prolong(whole)
        shutil.copytree(whole, longer)
        assert train(folder, system, longer, 1) == 0
        wanted, files = end_of(longer), _files(whole)
        for _ in range(times // len(chosen) + (number < times % len(chosen))):
            run = folder / "harmed"
            shutil.copytree(whole, run)
            what = _harm(run, rng.choice(files), rng)
            (folder / "stderr").unlink(missing_ok=True)
            status = train(folder, system, run, 1)
            said = (folder / "stderr").read_text()
            named = [line for line in said.splitlines() if "damaged" in line or line.startswith("error:")]
            same = status == 0 and end_of(run) == wanted
            verdict = "traceback" if "Traceback" in said else "recovered" if same else "refused" if status else "OTHER"
            verdict += ", named" if named else ", not named"
            told[verdict] += 1
            line = (named or [""])[-1].replace(str(run), "RUN")[:150]
            print(f"{verdict}: {system}, {what}: {line}", flush=True)
            shutil.rmtree(run)
    shutil.rmtree(folder)
    print("; ".join(f"{count} {verdict}" for verdict, count in sorted(told.items())))
    sys.exit(any(verdict not in ("recovered, named", "recovered, not named", "refused, named") for verdict in told))


def _files(run: Path) -> list[Path]:
    """The files that a run reads when it goes on, relative to it."""
    places = ("checkpoints", "data", "codes", "initial")
    files = [file for place in places for file in (run / place).rglob("*") if file.is_file()]
    return sorted(file.relative_to(run) for file in files)


def _harm(run: Path, name: Path, rng: random.Random) -> str:
    file = run / name
    alike = [other for other in _files(run) if other.suffix == name.suffix and other != name]
    how = rng.choice(["cut", "flipped", "swapped"] if alike else ["cut", "flipped"])
    content = bytearray(file.read_bytes())
    if how == "swapped":
        other = rng.choice(alike)
        spare = file.with_name("spare")
        file.rename(spare)
        (run / other).rename(file)
        spare.rename(run / other)
        return f"{name} swapped with {other}"
    if how == "cut" or not content:
        file.write_bytes(content[: rng.randrange(len(content) or 1)])
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    return f"{name} {how}"


def _prolong(run: Path) -> None:
    """Give a run that has ended a few steps to go; it finds the newest checkpoint, which is also among the best."""
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("max_steps: 24", "max_steps: 28"))


if __name__ == "__main__":
    main()
