"""Image tokens a second of a DALL-E, side by side: ours, Hugging Face's GPT-2 and DALLE-pytorch.

    python -m benchmarks.draw [--batches 1 8] [--rounds 5] [--json FILE]

Random weights: 12 layers of width 512, 64 caption tokens, then 256 image tokens of 8,192, sampled one by one with a
cache, in float32. The contestants take turns within each round, and the median over the rounds counts. The second table
tells what a token costs as the sequence grows, the median over the rounds too. What is not installed is left out, by
name.
"""

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path

import torch
from benchmarks.contest import Turn, contest, machine, versions
from rich.console import Console
from rich.table import Table

from qkv.generation import Sampling
from qkv.models.dalle import Dalle, DalleConfig
from qkv.runtime.engine import Engine
from qkv.systems.painter.drawing import draw_codes

WIDTH, LAYERS, HEADS = 512, 12, 8
TEXT, GRID, CODES, WORDS = 64, 16, 8192, 8192
PACKAGES = ("qkv", "torch", "transformers", "dalle-pytorch")
SPAN = 32  # tokens that a cost is the mean of


def main() -> None:
    """Run the contest and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    console = Console(stderr=True)
    torch.manual_seed(0)
    config = DalleConfig(
        text_length=TEXT, grid=GRID, d_model=WIDTH, n_heads=HEADS, n_layers=LAYERS, d_ff=4 * WIDTH, dropout=0.0
    )
    ours = Dalle(config, WORDS, CODES).eval()
    rows, growth = [], []
    for batch in options.batches:
        captions = torch.randint(4, WORDS, (batch, TEXT))
        for name, seconds in contest(contestants(ours, captions, console), options.rounds).items():
            rows.append({"batch": batch, "contestant": name, "seconds": seconds})
        growth.append({"batch": batch, "seconds": costs(ours, captions, options.rounds)})
    show(rows, growth)
    result = {"rows": rows, "growth": growth, "rounds": options.rounds, "versions": versions(PACKAGES)}
    result["machine"] = machine()
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def contestants(ours: Dalle, captions: torch.Tensor, console: Console) -> dict[str, Turn]:
    """Each draws all pictures of the batch once."""
    lengths = torch.full((len(captions),), TEXT)
    found: dict[str, Turn] = {"qkv": lambda: draw_codes(Engine(ours), captions, lengths, Sampling())}
    if importlib.util.find_spec("transformers") is not None:
        found["Hugging Face GPT-2"] = hugging_face(captions)
    else:
        console.print("left out: transformers is not installed")
    if importlib.util.find_spec("dalle_pytorch") is not None:
        found["DALLE-pytorch"] = dalle_pytorch(captions)
    else:
        console.print("left out: dalle-pytorch is not installed")
    return found


def hugging_face(captions: torch.Tensor) -> Turn:
    """GPT-2 of the same sizes, which writes 256 tokens after the 64 of the caption."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=CODES,
        n_positions=TEXT + GRID**2,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    mask = torch.ones_like(captions)

    def draw() -> None:
        written = model.generate(  # pyright: ignore[reportAttributeAccessIssue]: comes from a mixin
            captions,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            min_new_tokens=GRID**2,
            max_new_tokens=GRID**2,
            pad_token_id=0,
        )
        assert written.shape[1] == TEXT + GRID**2

    return draw


def dalle_pytorch(captions: torch.Tensor) -> Turn:
    """The model of DALLE-pytorch of the same sizes, with full attention and its cache."""
    from dalle_pytorch import DALLE, DiscreteVAE  # pyright: ignore[reportMissingImports]: where it is installed

    vae = DiscreteVAE(image_size=4 * GRID, num_layers=2, num_tokens=CODES, codebook_dim=64, hidden_dim=16)
    model = DALLE(
        dim=WIDTH, vae=vae, num_text_tokens=WORDS, text_seq_len=TEXT, depth=LAYERS, heads=HEADS, dim_head=WIDTH // HEADS
    ).eval()
    return lambda: model.generate_images(captions, use_cache=True)


def costs(model: Dalle, captions: torch.Tensor, rounds: int) -> dict[int, float]:
    """Mean seconds of a token, of all rows, by how many tokens stand before the span; the median over the rounds."""
    lengths = torch.full((len(captions),), TEXT)
    spans: dict[int, list[float]] = {}
    for _ in range(rounds):
        times: list[float] = []
        note = lambda at=times: at.append(time.perf_counter())  # noqa: E731
        draw_codes(Engine(model), captions, lengths, Sampling(), on_code=note)
        for start in range(0, GRID**2, SPAN):
            end = min(start + SPAN, len(times) - 1)
            spans.setdefault(TEXT + start, []).append((times[end] - times[start]) / (end - start))
    return {start: statistics.median(found) for start, found in spans.items()}


def show(rows: list[dict], growth: list[dict]) -> None:
    """Print image tokens a second, how many times ours that is, and what tokens cost."""
    table = Table("batch", "contestant", "image tokens/s", "times ours")
    ours = {row["batch"]: row["seconds"] for row in rows if row["contestant"] == "qkv"}
    for row in rows:
        speed = row["batch"] * GRID**2 / row["seconds"]
        ratio = ours[row["batch"]] / row["seconds"]
        table.add_row(str(row["batch"]), row["contestant"], f"{speed:,.0f}", f"{ratio:.2f}")
    Console().print(table)
    starts = list(growth[0]["seconds"])
    table = Table("batch", *(f"{start}-{start + SPAN}" for start in starts), title="milliseconds a token")
    for each in growth:
        table.add_row(str(each["batch"]), *(f"{1000 * each['seconds'][start]:.2f}" for start in starts))
    Console().print(table)


if __name__ == "__main__":
    main()
