"""How good a classifier is: accuracy, calibration, and what it takes for what."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

_BINS = 15


@dataclass(frozen=True)
class ClassScore:
    """One class of a test set.

    Attributes:
        name: of the class.
        precision: share of the pictures called so that are so; 0 if none is called so.
        recall: share of the pictures that are so that are called so; 0 if there are none.
        f1: harmonic mean of the two.
        count: pictures that are so.
    """

    name: str
    precision: float
    recall: float
    f1: float
    count: int


def top_k_accuracy(logits: Float[Tensor, "N K"], labels: Int[Tensor, "N"], k: int = 1) -> float:
    """Share of the rows whose label is among the k highest logits; with no more than k classes that is 1."""
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (best == labels[:, None]).any(dim=1).double().mean().item()


def calibration_error(probabilities: Float[Tensor, "N K"], labels: Int[Tensor, "N"]) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, over 15 bins of equal width.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == labels).double()
    bins = (confidence * _BINS).ceil().long().clamp(1, _BINS) - 1
    gaps = torch.zeros(_BINS, dtype=torch.float64, device=bins.device).index_add(0, bins, right - confidence)
    return gaps.abs().sum().item() / len(labels)


def fit_temperature(logits: Float[Tensor, "N K"], labels: Int[Tensor, "N"]) -> float:
    """The number that logits are to be divided by for the likeliest probabilities (Guo et al. 2017, section 4.2).

    The targets are less than certain, after Platt 1999, section 2.2: as if each example had been seen N times as its
    label and once as each class. With certain ones, a few examples without an error would make the model sure of all.
    """
    scaled = logits.detach().double()
    n, classes = logits.shape
    targets = F.one_hot(labels, classes).double().add(1 / n).div(1 + classes / n)
    inverse = torch.zeros((), dtype=torch.float64, device=logits.device, requires_grad=True)  # its logarithm
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(scaled * inverse.exp(), targets)
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    # Worse than guessing, the likelihood grows for ever as it becomes less sure: no more than a hundredfold.
    return float((-inverse.detach()).exp().clamp(0.01, 100))


def confusion_matrix(predicted: Int[Tensor, "N"], labels: Int[Tensor, "N"], n_classes: int) -> Int[Tensor, "K K"]:
    """Row: what it is; column: what it was taken for; cell: how often."""
    counts = torch.bincount(labels * n_classes + predicted, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def class_scores(confusion: Int[Tensor, "K K"], classes: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each class."""
    hits, called, there = confusion.diag().tolist(), confusion.sum(0).tolist(), confusion.sum(1).tolist()
    scores = []
    for name, hit, calls, count in zip(classes, hits, called, there, strict=True):
        precision, recall = hit / max(calls, 1), hit / max(count, 1)
        scores.append(ClassScore(name, precision, recall, 2 * hit / max(calls + count, 1), count))
    return scores
