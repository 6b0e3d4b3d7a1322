"""BLEU of a translator on Multi30k's test_2016_flickr, as papers report it and as sacreBLEU does.

    python -m benchmarks.multi30k_bleu --data FOLDER [--model NAME_OR_FOLDER] [--directions en-de ...] [--json FILE]

FOLDER holds test_2016_flickr.{en,de,fr,cs}.gz of https://github.com/multi30k/dataset. The first score is tokenised and
lowercased, as most papers on Multi30k report it: Moses punctuation normalisation and tokenisation (sacremoses) of both
sides, then BLEU of the tokens. The second is sacreBLEU's default, cased, with a bootstrap confidence interval.
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contest import machine, versions
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sacrebleu.metrics.bleu import BLEU
from sacremoses import MosesPunctNormalizer, MosesTokenizer

import qkv
from qkv.metrics.translation import bleu, measure

DIRECTIONS = ["en-de", "de-en", "en-fr", "fr-en", "en-cs", "cs-en"]
PACKAGES = ("qkv", "torch", "sentencepiece", "sacrebleu", "sacremoses")


def main() -> None:
    """Translate the test set in every direction and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="multi30k")
    parser.add_argument("--directions", nargs="+", default=DIRECTIONS)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--length-penalty", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="also write the scores here")
    options = parser.parse_args()
    translator = qkv.load(options.model)
    scores: dict[str, dict[str, Any]] = {}
    for direction in track(options.directions, console=Console(stderr=True)):
        from_, to = direction.split("-")
        sources, references = (read(options.data / f"test_2016_flickr.{language}.gz") for language in (from_, to))
        found = translator.translate(
            sources, to=to, from_=from_, beam_size=options.beam_size, length_penalty=options.length_penalty
        )
        outputs = [str(translation) for translation in found]
        scores[direction] = {
            "tokenised_lowercased": tokenised_lowercased(outputs, references, to),
            "sacrebleu": measure(bleu(to), outputs, references).to_json(),
        }
    show(scores)
    result = {
        "model": options.model,
        "beam_size": options.beam_size,
        "length_penalty": options.length_penalty,
        "scores": scores,
        "versions": versions(PACKAGES),
        "machine": machine(),
    }
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def read(path: Path) -> list[str]:
    """The lines of a gzipped text file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def tokenised_lowercased(outputs: Sequence[str], references: Sequence[str], language: str) -> float:
    """BLEU of Moses tokens in lower case."""
    normalizer, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def tokens(text: str) -> str:
        return str(tokenizer.tokenize(normalizer.normalize(text), return_str=True, escape=False)).lower()

    metric = BLEU(tokenize="none", force=True)
    return metric.corpus_score([tokens(text) for text in outputs], [[tokens(text) for text in references]]).score


def show(scores: dict[str, dict[str, Any]]) -> None:
    """Print the scores as a table."""
    table = Table("direction", "tokenised, lowercased BLEU", "sacreBLEU, 95 % interval")
    for direction, found in scores.items():
        cased = found["sacrebleu"]
        interval = f"{cased['score']:.2f} ({cased['mean']:.2f} ± {cased['interval']:.2f})"
        table.add_row(direction, f"{found['tokenised_lowercased']:.2f}", interval)
    Console().print(table)


if __name__ == "__main__":
    main()
