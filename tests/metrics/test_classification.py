"""Classification metrics against plain loops that follow their definitions."""

import math

import pytest
import torch

from qkv.metrics.classification import (
    calibration_error,
    class_scores,
    confusion_matrix,
    fit_temperature,
    top_k_accuracy,
)


def sample(n: int = 500, classes: int = 7, sharpness: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(n, classes) * sharpness
    return logits, torch.distributions.Categorical(logits=logits).sample()


@pytest.mark.parametrize("k", [1, 2, 5, 7, 20])
def test_top_k_accuracy(k: int) -> None:
    logits, labels = sample()
    hits = 0
    for row, label in zip(logits.tolist(), labels.tolist()):
        hits += label in sorted(range(7), key=lambda c: -row[c])[:k]
    assert top_k_accuracy(logits, labels, k) == pytest.approx(hits / 500)


def test_calibration_error_by_its_definition() -> None:
    logits, labels = sample()
    probabilities = logits.softmax(1)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(probabilities.double().tolist(), labels.tolist()):
        confidence = max(row)
        bins.setdefault(math.ceil(confidence * 15), []).append((confidence, row.index(confidence) == label))
    expected = sum(
        len(items) / 500 * abs(sum(right for _, right in items) / len(items) - sum(c for c, _ in items) / len(items))
        for items in bins.values()
    )
    assert calibration_error(probabilities, labels) == pytest.approx(expected)


def test_certain_and_right_or_wrong() -> None:
    certain = torch.eye(3)
    assert calibration_error(certain, torch.arange(3)) == 0
    assert calibration_error(certain, torch.tensor([1, 2, 0])) == 1


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_temperature_undoes_a_factor(factor: float) -> None:
    logits, labels = sample(n=20_000)
    temperature = fit_temperature(logits * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.05)
    losses = {
        t: torch.nn.functional.cross_entropy(logits * factor / t, labels).item()
        for t in (temperature, 0.95 * temperature, 1.05 * temperature)
    }
    assert min(losses, key=losses.__getitem__) == temperature


@pytest.mark.parametrize("n", [1, 4, 50])
def test_a_few_examples_without_an_error_make_nothing_certain(n: int) -> None:
    temperature = fit_temperature((torch.eye(4) * 3).repeat(n, 1), torch.arange(4).repeat(n))
    # Of 4n examples of four classes a label is (4n + 1) / (4n + 4) sure, and so is the likeliest model.
    sure = (torch.tensor([3.0, 0, 0, 0]) / temperature).softmax(0)[0].item()
    assert sure == pytest.approx((4 * n + 1) / (4 * n + 4), rel=1e-4)


def test_confusion_and_class_scores() -> None:
    logits, labels = sample()
    predicted = logits.argmax(1)
    confusion = confusion_matrix(predicted, labels, 8)  # the last class never occurs
    for i in range(8):
        for j in range(8):
            assert confusion[i, j] == sum(p == j and t == i for p, t in zip(predicted.tolist(), labels.tolist()))
    for number, score in enumerate(class_scores(confusion, list("abcdefgh"))):
        called, there = (predicted == number).sum().item(), (labels == number).sum().item()
        hits = ((predicted == number) & (labels == number)).sum().item()
        assert score.name == "abcdefgh"[number]
        assert score.count == there
        if number == 7:
            assert (score.precision, score.recall, score.f1) == (0, 0, 0)
        else:
            precision, recall = hits / called, hits / there
            assert (score.precision, score.recall) == (precision, recall)
            assert score.f1 == pytest.approx(2 * precision * recall / (precision + recall))
