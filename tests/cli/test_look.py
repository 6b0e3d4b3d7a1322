"""`qkv train DATA` without `--system`: what is found, what is trained, and what the data could be besides."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "photos"
# Too few steps to learn anything; what stands before training starts is looked at.
SHORT = ["--set=training.max_steps=1", "--set=training.validate_every=1", "--set=training.warmup=0"]
TEXT = ["--set=model.d_model=16", "--set=model.n_heads=2", "--set=model.n_layers=1", "--set=tokenizer.vocabulary=400"]


def write_pairs(path: Path, header: str = "") -> None:
    rows = [f"one {i} two\teins {i} zwei" for i in range(60)]
    path.write_text("\n".join([*([header] if header else []), *rows, ""]), encoding="utf-8")


def write_captioned(folder: Path) -> None:
    folder.mkdir()
    for i in range(8):
        Image.fromarray(np.full((16, 16, 3), 30 * i, np.uint8)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"grey number {i}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos",), "photos: 2 class folders: training a classifier; --system codes would train a discrete VAE"),
        (("pairs.tsv", "--from", "en", "--to", "de", *TEXT), "training a translator"),
        (("named.tsv", *TEXT), "training a translator"),
        (("plain",), "training a discrete VAE"),
    ],
)
def test_what_is_found_is_trained(tmp_path: Path, arguments: tuple[str, ...], said: str, qkv) -> None:
    shutil.copytree(PHOTOS, tmp_path / "photos")
    shutil.copytree(PHOTOS / "sun", tmp_path / "plain")
    write_pairs(tmp_path / "pairs.tsv")
    write_pairs(tmp_path / "named.tsv", "en\tde")
    done = qkv("train", *arguments, "--out", "run", *SHORT, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{arguments[0]}: ") and said in done.stderr.splitlines()[0], done.stderr
    assert "finished at step 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("captioned",),
            "a painter needs --codes, the codes that it draws with; train them first: qkv train",
        ),
        (("pairs.tsv",), "pairs.tsv needs --from and --to"),
        (("notes.odt",), "notes.odt: no system knows this data; it may be for a translator a table of sentence pairs"),
        (("empty",), "empty: no system knows this data; it may be for a translator"),
        (("none",), "none does not exist: check the path"),
        (("photos", "--system", "clasifier"), "--system: system is 'clasifier'; did you mean 'classifier'?"),
        (("photos", "--system", "vit", "--codes", "runs/codes"), "No such option: --codes"),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path: Path, arguments: tuple[str, ...], message: str, qkv) -> None:
    shutil.copytree(PHOTOS, tmp_path / "photos")
    write_captioned(tmp_path / "captioned")
    write_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "notes.odt").write_text("no data")
    (tmp_path / "empty").mkdir()
    done = qkv("train", *arguments, "--out", "run", folder=tmp_path)
    assert done.returncode in (1, 2)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()
