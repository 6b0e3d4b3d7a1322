"""`qkv eval` of a translator: BLEU, chrF and TER."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from qkv.errors import QkvError

if TYPE_CHECKING:
    from qkv.metrics.translation import Metric


def evaluate_translator(
    model: str, src: Path, ref: Path, from_: str, to: str, beam_size: int | None, as_json: bool
) -> None:
    """Measure a translator.

    Args:
        model: its name or folder.
        src: text, a sentence a line.
        ref: its translation, line by line.
        from_: language of `src`.
        to: language of `ref`.
        beam_size: hypotheses that go on; None is the default.
        as_json: whether to print one JSON object instead of a table.

    Raises:
        QkvError: the files do not fit together, or the model does not know the languages.
    """
    import sacrebleu
    import torch

    import qkv
    from qkv.data.lines import read_lines
    from qkv.metrics.translation import score
    from qkv.systems.translator.decoding import Decoding
    from qkv.terminal.progress import progress_bar

    decoding = Decoding(beam_size=beam_size)
    sources, references = list(read_lines(src)), list(read_lines(ref))
    if len(sources) != len(references):
        raise QkvError(f"{src} has {len(sources):,} lines, {ref} has {len(references):,}: line n must belong to line n")
    translator = qkv.load(model)
    with progress_bar("lines") as bar:
        task = bar.add_task(src.name, total=len(sources))
        translations = translator.translate(
            sources,
            to,
            from_,
            beam_size=beam_size,
            progress=lambda done, total: bar.update(task, completed=len(sources) * done / total),
        )
    metrics = score([translation.text for translation in translations], references, to)
    flags = Counter(flag for translation in translations for flag in translation.flags)
    if as_json:
        facts = {
            "model": model,
            "from": from_,
            "to": to,
            "lines": len(sources),
            "beam_size": decoding.width,
            "metrics": {metric.name: metric.to_json() for metric in metrics},
            "flags": dict(flags),
            "versions": {"qkv": qkv.__version__, "sacrebleu": sacrebleu.__version__, "torch": torch.__version__},
        }
        print(json.dumps(facts, ensure_ascii=False))
    else:
        _print_table(f"{model} {from_}-{to}, {len(sources):,} lines, beam {decoding.width}", metrics, flags)


def _print_table(title: str, metrics: "list[Metric]", flags: Counter[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "score", "95 % interval")
    for metric in metrics:
        table.add_row(metric.name, f"{metric.score:.2f}", f"{metric.mean:.2f} ± {metric.interval:.2f}")
    print(title)
    Console().print(table)
    for metric in metrics:
        print(f"{metric.name}|{metric.signature}")
    if flags:
        print("flags: " + ", ".join(f"{name} {count:,}" for name, count in flags.most_common()))
