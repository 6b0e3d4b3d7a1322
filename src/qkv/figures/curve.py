"""A learning curve as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from qkv.files import atomic_file


def draw_learning_curve(records: Sequence[Mapping[str, float]], score: str, path: Path) -> None:
    """Write a PNG file: losses on the left axis, the score that chooses checkpoints on the right.

    Each record has a `step`, and the `loss`, `validation_loss` or validation score after it.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.add_subplot(xlabel="step", ylabel="loss")
    scores = losses.twinx()
    scores.set_ylabel(score.replace("_", " "))
    curves: list[tuple[Any, str, dict[str, Any]]] = [
        (losses, "loss", {"color": "C0", "alpha": 0.5, "linewidth": 0.8, "label": "training loss"}),
        (losses, "validation_loss", {"color": "C1", "marker": ".", "label": "validation loss"}),
        (scores, f"validation_{score}", {"color": "C2", "marker": ".", "label": f"validation {score}, right"}),
    ]
    for axes, name, style in curves:
        there = [record for record in records if record.get(name) is not None]  # null stands for what was no number
        steps, values = zip(*[(record["step"], record[name]) for record in there] or [((), ())])
        axes.plot(steps, values, **style)
    handles = [line for axes in (losses, scores) for line in axes.get_lines()]
    losses.legend(handles=handles, loc="center right", frameon=False)
    losses.grid(alpha=0.2)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
