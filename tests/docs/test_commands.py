"""Every command and every piece of Python that README and docs show is run, page by page, in a fresh folder.

A page's ```sh and ```python blocks form one script. A block after a comment `<!-- not run: why -->` is left out; that
is for what would go to the network or never end. The README's folder has `examples/` in it, as a clone does, and
nothing else; pages of the documentation run in a copy of `examples/`, as they say. `bin/` holds a `qkv` that trains
only a few small steps (server.py).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BLOCK = re.compile(r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAY_STAY_UNRUN = ("git clone ", "cd ", "pip install ", "make ", "tensorboard ", "qkv --install-completion")


def blocks(page: Path) -> list[re.Match[str]]:
    return [
        match for match in BLOCK.finditer(page.read_text(encoding="utf-8")) if match["language"] in ("sh", "python")
    ]


def script(page: Path) -> str:
    parts = []
    for block in blocks(page):
        if block["why"]:
            continue
        code = block["code"]
        parts.append(code if block["language"] == "sh" else f"python -W error - <<'END_OF_BLOCK'\n{code}END_OF_BLOCK\n")
    return "".join(parts)


@pytest.fixture
def server() -> Iterator[str]:
    # A socket's path must be short, which that of pytest's temporary folder may not be.
    with tempfile.TemporaryDirectory(prefix="qkv") as folder:
        path = Path(folder) / "socket"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}
        process = subprocess.Popen([sys.executable, HERE / "server.py", path], env=environment)
        while not path.exists():
            assert process.poll() is None, "the server did not start"
            time.sleep(0.05)
        yield str(path)
        process.kill()
        process.wait()


def failure(page: Path, folder: Path, server: str) -> str | None:
    """What went wrong with a page's script, run in this folder."""
    shutil.copytree(ROOT / "examples", folder / "examples" if page.parent == ROOT else folder)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(HERE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "QKV_SERVER": server,
        "REPOSITORY": str(ROOT),
        "REAL_MAKE": shutil.which("make") or "make",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script(page)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0 and "Traceback" not in done.stderr:
        return None
    return f"{page.relative_to(ROOT)} ends with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_every_page_runs(tmp_path: Path, server: str) -> None:
    # One test for all pages, since the server takes longer to start than a page to run.
    pages = [page for page in PAGES if script(page)]
    folders = [tmp_path / page.stem for page in pages]
    with ThreadPoolExecutor(2) as pool:
        failures = [found for found in pool.map(failure, pages, folders, [server] * len(pages)) if found]
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_what_cannot_run_is_left_out(page: Path) -> None:
    for block in blocks(page):
        if block["why"]:
            for line in block["code"].splitlines():
                assert line.startswith(MAY_STAY_UNRUN), f"{line!r} could be run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_seen(page: Path) -> None:
    # A fence that the pattern above misses would silently go unchecked.
    text = page.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) == text.count("```") / 2
    assert {match["language"] for match in BLOCK.finditer(text)} <= {"sh", "python", "text", "yaml", "json"}
