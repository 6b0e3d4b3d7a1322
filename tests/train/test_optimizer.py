import math

import numpy as np
import pytest
import torch
from torch import nn

from qkv.models.translator import TranslatorConfig, TranslatorModel
from qkv.train.config import TrainingConfig
from qkv.train.optimizer import WeightAverage, learning_rate, make_optimizer, using_weights


def test_inverse_sqrt_is_equation_3_of_the_paper() -> None:
    d_model, warmup = 512, 4000
    peak = d_model**-0.5 * warmup**-0.5
    config = TrainingConfig(max_steps=100_000, warmup=warmup, learning_rate=peak, schedule="inverse_sqrt")
    for step in (1, 100, 3999, 4000, 4001, 50_000):
        paper = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert learning_rate(step, config) == pytest.approx(paper)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_cosine_and_linear_match_torch_schedulers(schedule: str) -> None:
    config = TrainingConfig(max_steps=50, warmup=10, learning_rate=0.3, schedule=schedule)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    if schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    else:
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=40)
    for step in range(10, 51):
        assert learning_rate(step, config) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        scheduler.step()
    assert [learning_rate(step, config) for step in (1, 5)] == pytest.approx([0.03, 0.15])


def test_only_matrices_decay() -> None:
    model = nn.Linear(3, 3)
    optimizer = make_optimizer(model, TrainingConfig(learning_rate=0.1, weight_decay=0.5))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias.detach(), before[1])


def test_layer_decay_slows_the_layers_far_from_the_output() -> None:
    config = TranslatorConfig(d_model=8, n_heads=2, n_layers=2, d_ff=8)
    model = TranslatorModel(config, 10)
    optimizer = make_optimizer(model, TrainingConfig(layer_decay=0.5))
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    scales = {name: scale[id(parameter)] for name, parameter in model.named_parameters()}
    assert scales["target_embedding.weight"] == 0.5**3
    assert scales["encoder.blocks.0.feed_forward.inner.weight"] == 0.5**2
    assert scales["decoder.blocks.1.feed_forward.inner.bias"] == 0.5
    assert scales["decoder.norm.weight"] == 1
    assert len(scales) == len(list(model.parameters()))
    plain = make_optimizer(model, TrainingConfig())
    assert [len(group["params"]) for group in plain.param_groups] == [
        sum(p.dim() > 1 for p in model.parameters()),
        sum(p.dim() == 1 for p in model.parameters()),
    ]


def test_weight_average_is_an_exponential_moving_average() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.7)
    expected = model.weight.detach().numpy().copy()
    for step in range(1, 40):
        with torch.no_grad():
            model.weight += 0.1 * step
        average.update(step)
        keep = min(0.7, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * model.weight.detach().numpy()
    np.testing.assert_allclose(average.weights["weight"], expected, rtol=1e-5)


def test_using_weights_gives_the_own_ones_back() -> None:
    model = nn.Linear(2, 2)
    own = model.weight.detach().clone()
    with using_weights(model, {"weight": torch.zeros(2, 2), "bias": torch.ones(2)}):
        assert model(torch.ones(2)).tolist() == [1.0, 1.0]
    assert torch.equal(model.weight, own)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"warmup \(10\) leaves nothing of max_steps \(10\)"):
        TrainingConfig(max_steps=10, warmup=10, schedule="cosine")
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        TrainingConfig(learning_rate=-math.inf)
