"""Runs `qkv` command lines in forks of one process that has imported everything already.

Importing PyTorch takes longer than most commands of the documentation, and there are dozens of them. `bin/qkv` is the
client: it hands over its arguments, folder, environment and open files, and waits for the exit status.
"""

import json
import os
import re
import signal
import socket
import sys
from itertools import pairwise
from pathlib import Path

# Cuts training to a few small steps. Everything else the documentation says is taken as it is.
STEPS = {"training.max_steps": 2, "training.validate_every": 1, "training.warmup": 1}
SIZES = {"model.d_model": 16, "model.d_ff": 16, "model.n_heads": 2, "model.n_layers": 1}
ENCODERS = {name.replace(".", f".{part}.", 1): size for part in ("image", "text") for name, size in SIZES.items()}
CODES = {"model.width": 8, "model.blocks": 1}
TOKENIZER = {"tokenizer.vocabulary": 400}
_SIZES = {
    "classifier": SIZES,
    "codes": CODES,
    "painter": {**SIZES, **TOKENIZER},
    "scorer": {**ENCODERS, **TOKENIZER},
    "translator": {**SIZES, **TOKENIZER},
}


def shortened(arguments: list[str]) -> list[str]:
    """The arguments, with tiny settings for a new training run; one that goes on has them in its recipe."""
    if arguments[:1] != ["train"] or "--help" in arguments or (Path(arguments[1]) / "recipe.yaml").exists():
        return arguments
    # Several processes would import everything several times; they have tests of their own.
    arguments = [*arguments, "--processes", "1"] if "--processes" in arguments else arguments
    fields = {**STEPS, **sizes(arguments)}
    return [*arguments, *(word for name, value in fields.items() for word in ("--set", f"{name}={value}"))]


def sizes(arguments: list[str]) -> dict[str, int]:
    """What makes the model of a training run small."""
    from qkv.systems.registry import find_system, recognised

    if "--initial" in arguments:  # has its sizes already
        return {}
    given = [tuple(pair) for pair in pairwise(arguments) if pair[0].startswith("--")]
    options = {name.lstrip("-"): value for name, value in given if name in ("--from", "--to", "--codes", "--system")}
    paths = [Path(word) for word in arguments[1:2] if not word.startswith("-")]
    if paths and paths[0].suffix == ".yaml":
        [options["system"]] = re.findall(r"^system: (\S+)", paths[0].read_text(), re.MULTILINE)
    paths += [Path(value) for name, value in given if name == "--data"]
    system = options.pop("system", "")
    found = find_system(system, "the documentation") if system else recognised(paths, options)[0][0]
    return _SIZES[found.name]


def run(arguments: list[str]) -> int:
    """One command line of the real program; its exit status."""
    from qkv.cli.main import main

    sys.argv = ["qkv", *shortened(arguments)]
    try:
        main()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def serve(path: str) -> None:
    """Answer each connection in a fork, until killed."""
    import torch._dynamo  # noqa: F401 (PyTorch's optimizers do)

    import qkv.cli.main
    import qkv.explain.picture
    import qkv.metrics.translation
    import qkv.runs.run  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            if os.fork():
                connection.close()
                continue
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            arguments, folder, environment = json.loads(request)
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)
            status = 1
            try:
                status = run(arguments)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                connection.sendall(bytes([status]))
                os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
