"""Whether two checkouts of the library, such as before and after a change, give the same bytes; and what they cost.

    python -m benchmarks.same_outputs --before CHECKOUT --after CHECKOUT --data FOLDER
        [--only translate,classify,draw,eval,cost] [--limit N] [--json FILE]

FOLDER holds multi30k/test_2016_flickr.{en,de}.gz and fashion_mnist/t10k-*.gz. Each checkout's `src` is copied, and runs
with this Python, in processes of its own, one after the other. The exit status is 1 if anything differs or fails.

translate: 1,000 captions into German, beam 5: texts, flags, scores; and the command line, sampling into French.
classify: 1,000 pictures of Fashion-MNIST: all classes and probabilities; and the command line, on some.
draw: 20 pictures by each bundled painter: pixels and codes; and the command line's picture of them.
eval: `qkv eval --json` of translator, classifier, discrete VAE and painter.
cost: modules that verbs import (`train` up to its first step), and seconds of `--help` and to the first translation.
"""

import argparse
import hashlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.checkout import QKV, WORKER, Both, Checkout, CommandFailed, cost
from benchmarks.contest import machine, versions
from benchmarks.same_outputs_inputs import write_inputs
from rich.console import Console
from rich.table import Table

GROUPS = ("translate", "classify", "draw", "eval", "cost")
PACKAGES = ("torch", "numpy", "pillow", "sentencepiece", "sacrebleu")
AROUND = 60  # characters shown before and after the first difference


@dataclass(frozen=True)
class Check:
    """A command whose output is compared.

    Attributes:
        group: of `GROUPS`.
        name: what is compared.
        arguments: of Python.
        writes: a file that counts as output, too, by its name in the folder where the command runs.
    """

    group: str
    name: str
    arguments: Sequence[str]
    writes: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        before: SHA-256 of the output; empty if there is none.
        after: the same of the other checkout.
        size: bytes of the output before.
        seconds: that each took.
        difference: the first, for people; empty if there is none.
    """

    group: str
    name: str
    before: str
    after: str
    size: int
    seconds: dict[str, float]
    difference: str


def main() -> None:
    """Run all checks, print what differs, and exit with 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(GROUPS), help="of %(default)s")
    parser.add_argument("--limit", type=int, help="of the lines, pictures and captions of each check")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the outcomes here")
    options = parser.parse_args()
    groups = options.only.split(",")
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        result = run(options, groups, Path(folder).resolve())
    result |= {"versions": versions(PACKAGES), "python": platform.python_version(), "machine": machine()}
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(any(check["difference"] for check in result["checks"]) or "error" in result["cost"])


def run(options: argparse.Namespace, groups: Sequence[str], folder: Path) -> dict[str, Any]:
    """All outcomes, for JSON."""
    begin, inputs = time.monotonic(), folder / "inputs"
    inputs.mkdir()
    origins = {"before": options.before, "after": options.after}
    both = {name: Checkout.copy(origin, folder / name, options.threads) for name, origin in origins.items()}
    painter = next((both["before"].folder / "src").rglob("fashion-draw/config.json")).parent
    write_inputs(options.data, painter, inputs, options.limit)
    outcomes = []
    for check in checks(inputs, options.limit):
        if check.group in groups:
            say(f"{check.group}: {check.name}")
            outcomes.append(asdict(compare(check, both)))
    costs: dict[str, Any] = {}
    if "cost" in groups:
        try:
            costs = cost(both, inputs, say)
        except CommandFailed as error:
            costs = {"error": str(error)}
    return {
        **{name: checkout.version() for name, checkout in both.items()},
        "limit": options.limit,
        "threads": options.threads,
        "checks": outcomes,
        "cost": costs,
        "seconds": time.monotonic() - begin,
    }


def checks(inputs: Path, limit: int | None) -> list[Check]:
    """All there are but the cost, which has no right answer."""
    # Relative to where commands run: some print the paths, and the hashes are to be the same in every run.
    worker, at = str(WORKER), {path.name: f"../{inputs.name}/{path.name}" for path in inputs.iterdir()}
    evaluate, names = [*QKV, "eval"], sorted(path.name for path in (inputs / "captioned").glob("*.png"))
    pictures = [f"{at['captioned']}/{name}" for name in names[:20]]
    sentences = ["A man sleeps.", "Two dogs are playing in the snow."]
    sampling = ["--json", "--top-k", "20", "--seed", "3"]
    drawing = [*QKV, "draw", "fashion-draw", "an ankle boot", "a dress", "-n", "4", "--seed", "3", "--rerank"]
    text = ["--src", at["en.txt"], "--ref", at["de.txt"], "--from", "en", "--to", "de"]
    judged = ["-n", "2", "--limit", str(min(limit or 20, 20)), "--judge", "fashion-mnist", "--train", at["captioned"]]
    painters = [
        Check("draw", f"{name}: pixels, codes", [worker, "draw", name, at[f"{name}.txt"]])
        for name in ("fashion-draw", "emoji")
    ]
    return [
        Check("translate", "texts, flags, scores", [worker, "translate", at["captions.txt"]]),
        Check("translate", "command line", [*QKV, "translate", *sentences, "--to", "fr", *sampling]),
        Check("classify", "labels, probabilities", [worker, "classify", at["pictures.npy"]]),
        Check("classify", "command line", [*QKV, "classify", "fashion-mnist", *pictures, "--json"]),
        *painters,
        Check("draw", "command line", [*drawing, "--out", "drawn.png"], writes="drawn.png"),
        Check("eval", "translator", [*evaluate, "multi30k", *text, "--json"]),
        Check("eval", "classifier", [*evaluate, "fashion-mnist", at["t10k-images-idx3-ubyte.gz"], "--json"]),
        Check("eval", "discrete VAE", [*evaluate, at["codes"], at["captioned"], "--json"]),
        Check("eval", "painter", [*evaluate, "fashion-draw", at["captioned"], *judged, "--json"]),
    ]


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def compare(check: Check, both: Both) -> Outcome:
    """Run a check in both checkouts, one after the other."""
    outputs: dict[str, bytes] = {}
    seconds: dict[str, float] = {}
    failures: list[str] = []
    for name, checkout in both.items():
        begin = time.monotonic()
        try:
            outputs[name] = checkout.run(check.arguments)
            if check.writes:
                outputs[name] += hashlib.sha256((checkout.folder / check.writes).read_bytes()).hexdigest().encode()
        except (CommandFailed, OSError) as error:
            failures.append(f"{name} fails: {error}")
        seconds[name] = time.monotonic() - begin
    hashes = {name: hashlib.sha256(outputs[name]).hexdigest() if name in outputs else "" for name in both}
    if not failures and not outputs["before"].strip():
        failures.append("neither gives anything" if not outputs["after"].strip() else "before gives nothing")
    difference = "; ".join(failures) or first_difference(outputs["before"], outputs["after"])
    size = len(outputs.get("before", b""))
    return Outcome(check.group, check.name, hashes["before"], hashes["after"], size, seconds, difference)


def first_difference(before: bytes, after: bytes) -> str:
    """Where two outputs differ first, line by line, a JSON object by itself field by field; empty if they are equal."""
    if before == after:
        return ""
    ones, others = lines(before), lines(after)
    for number, (one, other) in enumerate(zip(ones, others), 1):
        if one != other:
            return f"line {number}: {one_of_two(one, other)}, after: {one_of_two(other, one)}"
    if len(ones) != len(others):
        return f"{len(ones):,} lines, after: {len(others):,}"
    return "in how it is written only, such as spaces"


def lines(output: bytes) -> list[str]:
    """The lines of an output; of a single JSON value, a line for each of its fields."""
    text = output.decode(errors="backslashreplace")
    with suppress(json.JSONDecodeError):
        text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    return text.splitlines()


def one_of_two(line: str, other: str) -> str:
    """A line around the place where it differs from another."""
    same = next((place for place, (a, b) in enumerate(zip(line, other)) if a != b), min(len(line), len(other)))
    start, end = max(same - AROUND, 0), same + AROUND
    return f"{'…' if start else ''}{line[start:end].strip()}{'…' if end < len(line) else ''}"


def show(result: dict[str, Any]) -> None:
    """Print outcomes and costs as tables."""
    console = Console(markup=False)
    for name in ("before", "after"):
        of = result[name]
        changed = ", changed since" if of["changed"] else ""
        console.print(f"{name}: {of['checkout']} at {of['commit'][:12] or 'no commit'}{changed}")
    if result["checks"]:
        table = Table("check", "", "bytes", "SHA-256", "before s", "after s")
        for check in result["checks"]:
            hashes = check["before"][:12] + (f" {check['after'][:12]}" if check["difference"] else "")
            seconds = [f"{check['seconds'][name]:.1f}" for name in ("before", "after")]
            same = "DIFFERS" if check["difference"] else "same"
            table.add_row(f"{check['group']}: {check['name']}", same, f"{check['size']:,}", hashes, *seconds)
        console.print(table)
    for check in result["checks"]:
        if check["difference"]:
            console.print(f"{check['group']}: {check['name']}: {check['difference']}", soft_wrap=True)
    if result["cost"]:
        show_cost(result["cost"], console)
    console.print(f"{result['seconds']:.0f} s; Python {result['python']}, {result['versions']}", soft_wrap=True)
    console.print(f"{result['machine']}; {result['threads']} threads in each process", soft_wrap=True)


def show_cost(cost: dict[str, Any], console: Console) -> None:
    """Print what verbs import, and how long they take."""
    if "error" in cost:
        console.print(f"cost: {cost['error']}", soft_wrap=True)
        return
    table = Table("cost", "before", "after", "after / before")
    for verb, of in cost["modules"].items():
        before, after = of["before"]["qkv"], of["after"]["qkv"]
        table.add_row(f"modules of qkv in {verb}", str(before), str(after), f"{after / before:.2f}")
    for turn, of in cost["seconds"].items():
        table.add_row(f"seconds of {turn}", f"{of['before']:.3f}", f"{of['after']:.3f}", f"{of['ratio']:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
