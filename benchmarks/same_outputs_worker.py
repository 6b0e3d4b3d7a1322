"""What one checkout of the library answers: run by `same_outputs`, with the checkout's `src` on PYTHONPATH.

    python benchmarks/same_outputs_worker.py translate LINES.txt
    python benchmarks/same_outputs_worker.py classify PICTURES.npy
    python benchmarks/same_outputs_worker.py draw MODEL CAPTIONS.txt
    python benchmarks/same_outputs_worker.py modules FILE.json ARGUMENTS...

The first three print a JSON object a line: for each input, all that the model answers, with every digit of its floats.
The last runs `qkv ARGUMENTS...` and writes the names of the modules that were imported by its end, or by the first step
of an optimizer, where it stops.
"""

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = 11


def translate(lines: str) -> Iterator[dict[str, Any]]:
    """Each line in German, by beam search."""
    import qkv

    texts = Path(lines).read_text(encoding="utf-8").splitlines()
    for found in qkv.load("multi30k").translate(texts, to="de", beam_size=5):
        yield {"text": found.text, "flags": list(found.flags), "score": repr(found.score)}


def classify(pictures: str) -> Iterator[dict[str, Any]]:
    """All classes of each picture, best first."""
    import numpy as np

    import qkv

    for found in qkv.load("fashion-mnist").classify(list(np.load(pictures)), top_k=10):
        yield {each.label: repr(each.probability) for each in found}


def draw(model: str, captions: str) -> Iterator[dict[str, Any]]:
    """A picture for each caption: its pixels, hashed, and its codes."""
    import qkv

    texts = Path(captions).read_text(encoding="utf-8").splitlines()
    for caption, [drawing] in zip(texts, qkv.load(model).drawings(texts, seed=SEED), strict=True):
        image = drawing.image
        pixels = hashlib.sha256(image.tobytes()).hexdigest()
        yield {"caption": caption, "mode": image.mode, "size": image.size, "pixels": pixels,
               "codes": drawing.codes.tolist()}  # fmt: skip


def modules(file: str, *arguments: str) -> None:
    """Run a command, and write what it imported."""

    def write() -> None:
        Path(file).write_text(json.dumps(sorted(sys.modules)))

    def stop(*_: object) -> None:
        write()
        os._exit(0)

    if arguments[0] == "train":
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        register_optimizer_step_pre_hook(stop)
    else:
        atexit.register(write)
    sys.argv = ["qkv", *arguments]
    from qkv.cli.main import main

    main()


if __name__ == "__main__":
    _, _verb, *_arguments = sys.argv
    if _verb == "modules":
        modules(*_arguments)
    else:
        for _answer in {"translate": translate, "classify": classify, "draw": draw}[_verb](*_arguments):
            print(json.dumps(_answer, ensure_ascii=False))
