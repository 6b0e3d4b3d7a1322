"""The task of the discrete VAE: its likelihood, its schedules, its steps and checkpoints, and learning a toy set."""

import json
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qkv.config import parse
from qkv.errors import QkvError
from qkv.model_directory import read_config, read_weights
from qkv.models.dvae import DVAE, DVAEConfig, squeeze
from qkv.models.weights import get_weights, set_weights
from qkv.reporter import Reporter
from qkv.systems.codes.task import CodesConfig, CodesTask, anneal, logit_laplace, reconstruction_loss
from qkv.train.config import TrainingConfig
from qkv.train.distributed import World, join
from qkv.train.task import Setting
from qkv.train.trainer import Trainer

COLOURS = np.array([[230, 60, 30], [20, 110, 200], [250, 250, 250], [10, 10, 10], [40, 200, 60], [240, 220, 20]])
SIZES = {"image_size": 8, "codes": 8, "d_code": 8, "width": 24, "downsamplings": 1, "blocks": 1, "decay": 0.95}
VQ = {"quantiser": "vq", "reconstruction": "mse"}


def write_blocks(folder: Path, n: int = 64) -> Path:
    """Pictures of 4 x 4 blocks in two of six colours."""
    draw = np.random.default_rng(0)
    for i in range(n):
        two = COLOURS[draw.permutation(6)[:2]]
        pixels = two[draw.integers(0, 2, (4, 4))].repeat(2, 0).repeat(2, 1)
        place = folder / ("even", "odd")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    return folder


def create(
    tmp_path: Path, model: dict | None = None, batch_size: int = 32, initial: Path | None = None, **fields
) -> CodesTask:
    folder = tmp_path / "blocks"
    if not folder.exists():
        write_blocks(folder)
    data = {"train": [{"folder": str(folder)}], "batch_size": batch_size, "holdout": 0.2}
    sections = {"data": data, "model": {**SIZES, **VQ, **(model or {})}, "penalty_warmup": 0, **fields}
    torch.manual_seed(0)
    config = parse(CodesConfig, sections, "test")
    return CodesTask.create(config, Setting(folder=tmp_path / "run", initial=initial))


def trainer(run: Path, task: CodesTask, world: World | None = None, **settings) -> Trainer:
    run.mkdir(exist_ok=True)
    config = TrainingConfig(**{"warmup": 2, "device": "cpu", **settings})
    return Trainer(task, config, run, 1, Reporter(), world)


def load(folder: Path) -> DVAE:
    model = DVAE(parse(DVAEConfig, read_config(folder)["model"], "config.json"))
    set_weights(model, read_weights(folder))
    return model.eval()


@pytest.mark.parametrize(
    ("model", "steps", "fields"),
    [
        ({"quantiser": "vq", "reconstruction": "l1"}, 240, {}),
        (
            {"quantiser": "gumbel", "reconstruction": "mse"},
            300,
            {"penalty_weight": 0.001, "penalty_warmup": 75, "temperature_steps": 225},
        ),
    ],
)
def test_blocks_are_learnt_and_the_exported_model_knows_them(
    tmp_path: Path, model: dict, steps: int, fields: dict
) -> None:
    task = create(tmp_path, model, **fields)
    settings = {"warmup": 20, "schedule": "cosine", "learning_rate": 0.01, "validate_every": steps}
    outcome = trainer(tmp_path / "run", task, max_steps=steps, **settings).train()
    assert outcome.score > 30
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()][-1]
    assert metrics["validation_codebook_use"] >= 50
    assert metrics["validation_ssim"] > 0.9
    assert 4 <= metrics["validation_codebook_perplexity"] <= 8

    folder = tmp_path / "run" / "model"
    loaded = load(folder)
    files = sorted((tmp_path / "blocks").glob("*/*.png"))
    images = torch.from_numpy(np.stack([np.array(Image.open(file)) for file in files])).movedim(-1, 1) / 255
    with torch.no_grad():
        decoded = loaded.decode(loaded.encode(images))
    assert (decoded - images).square().mean() < 2e-3
    assert "8 x 8 pixels become 4 x 4 codes of 8" in (folder / "README.md").read_text()
    sheet = Image.open(tmp_path / "run" / "reconstructions.png")
    assert sheet.size == (8 * 8 * 12, 4 * 8 * 12)  # 12 held out: two rows, each over its reconstructions
    top = np.array(sheet.resize((64, 32), Image.Resampling.NEAREST)).astype(float)
    assert np.abs(top[:8] - top[8:16]).mean() < 10

    again = create(tmp_path, model, initial=folder, **fields)
    assert all(torch.equal(weight, loaded.get_parameter(name)) for name, weight in get_weights(again.model).items())
    with pytest.raises(QkvError, match="the model needs"):
        create(tmp_path, {**model, "codes": 9}, initial=folder, **fields)


def test_resume_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    settings = {"max_steps": 8, "validate_every": 4, "ema": 0.9, "accumulate": 2}
    gumbel = {"quantiser": "gumbel", "reconstruction": "logit_laplace"}
    for model in (VQ, gumbel):
        name = model["quantiser"]
        fields = {"penalty_warmup": 6, "temperature_steps": 6, "batch_size": 16}
        whole = trainer(tmp_path / f"{name}-whole", create(tmp_path, model, **fields), **settings)
        whole.train()
        first = trainer(tmp_path / f"{name}-parts", create(tmp_path, model, **fields), **settings)
        first._validate = _killed_at(first, 8)
        with pytest.raises(KeyboardInterrupt):
            first.train()
        second = trainer(tmp_path / f"{name}-parts", create(tmp_path, model, **fields), **settings)
        steps = _recorded_steps(second)
        second.train()
        assert steps == ["begin 5", "end", "begin 6", "end", "begin 7", "end", "begin 8", "end"]
        others = get_weights(second.task.model)
        for key, weight in get_weights(whole.task.model).items():
            assert torch.equal(weight, others[key]), key


def _recorded_steps(run: Trainer) -> list[str]:
    steps: list[str] = []
    begin, end = run.task.begin_step, run.task.end_step
    run.task.begin_step = lambda step: (steps.append(f"begin {step}"), begin(step))
    run.task.end_step = lambda gather: (steps.append("end"), end(gather))
    return steps


def _killed_at(run: Trainer, step: int):
    validate = run._validate

    def check(log):
        if run.progress.step == step:
            raise KeyboardInterrupt
        validate(log)

    return check


def test_accumulated_batches_move_the_codebook_as_one_large_batch(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", create(tmp_path, batch_size=32), max_steps=3, validate_every=9)
    parts = trainer(tmp_path / "parts", create(tmp_path, batch_size=8), max_steps=3, validate_every=9, accumulate=4)
    for run in (whole, parts):
        run.task.model.quantiser.shares.data.fill_(1 / 8)  # none is dead: the dead are replaced at random
        run.task.data._train = run.task.data._train.select(np.arange(32))  # an epoch is 32 pictures, in the same order
        before = run.task.model.quantiser.codebook.clone()
        run.train()
    others = get_weights(parts.task.model)
    for name, weight in get_weights(whole.task.model).items():
        torch.testing.assert_close(weight, others[name], rtol=1e-3, atol=1e-4)
    assert not torch.equal(before, others["quantiser.codebook"])


def test_two_processes_have_one_codebook(tmp_path: Path) -> None:
    """Although they see other pictures, and the first step replaces the codes that are dead by random vectors."""
    create(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, __file__, str(tmp_path)], env=environment, check=True)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(2))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
    assert (first["quantiser.shares"] > 0).all()


def test_likelihood_is_that_of_a_laplace_variable_through_a_sigmoid() -> None:
    torch.manual_seed(0)
    x, mean, log_scale = torch.rand(50) * 0.8 + 0.1, torch.randn(50), torch.randn(50)
    laplace = torch.distributions.Laplace(mean, log_scale.exp())
    through = torch.distributions.TransformedDistribution(laplace, [torch.distributions.SigmoidTransform()])
    torch.testing.assert_close(logit_laplace(x, mean, log_scale), through.log_prob(x))


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, 0.0), (1.5, -1.0), (-0.7, -2.5)])
def test_likelihood_integrates_to_1(mean: float, log_scale: float) -> None:
    x = torch.linspace(1e-6, 1 - 1e-6, 2_000_001, dtype=torch.float64)
    density = logit_laplace(x, torch.full_like(x, mean), torch.full_like(x, log_scale)).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["mse", "l1", "logit_laplace"])
def test_loss_is_the_error_and_the_weighted_penalty_of_each_number(tmp_path: Path, kind: str) -> None:
    task = create(tmp_path, {"reconstruction": kind}, penalty_weight=0.5)
    batch = task.batch(0, 0)
    assert task.denominators(batch) == {"images": 32.0}
    task.begin_step(1)
    output = task.model(batch.images)
    difference = output.mean - batch.images
    error = {
        "mse": lambda: difference.square().sum(),
        "l1": lambda: difference.abs().sum(),
        "logit_laplace": lambda: -logit_laplace(squeeze(batch.images), output.mean, output.log_scale).sum(),
    }[kind]()
    torch.testing.assert_close(reconstruction_loss(output, batch.images, kind), error)
    expected = (error + 0.5 * output.penalty.sum()) / (3 * 8 * 8)
    torch.testing.assert_close(task.losses(batch)["images"], expected)


def test_flat_pictures_do_not_make_the_likelihood_boundless(tmp_path: Path) -> None:
    task = create(tmp_path, {"quantiser": "gumbel", "reconstruction": "logit_laplace"})
    white = torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        task.model.decoder[-1].bias[3:] = -1e4
        output = task.model(white)
    assert torch.isfinite(reconstruction_loss(output, white, "logit_laplace"))
    spacing = squeeze(torch.tensor([0.5, 0.5 + 1 / 255])).logit().diff().item()
    torch.testing.assert_close(output.log_scale.exp(), torch.full((1, 3, 8, 8), spacing), rtol=1e-3, atol=0)


def test_schedules_are_half_cosines(tmp_path: Path) -> None:
    assert [anneal(1, 0, step, 4) for step in (0, 2, 4, 9)] == pytest.approx([1, 0.5, 0, 0])
    assert anneal(0, 6.6, 1, 4) == pytest.approx(6.6 * (1 - math.cos(math.pi / 4)) / 2)
    task = create(
        tmp_path, {"quantiser": "gumbel", "reconstruction": "logit_laplace"}, penalty_warmup=10, temperature_steps=20
    )
    found = []
    for step in (0, 10, 20):
        task.begin_step(step)
        found.append((task._weight.item(), task._temperature.item()))
    assert found == [pytest.approx(pair) for pair in ((0, 1), (6.6, (1 + 1 / 16) / 2), (6.6, 1 / 16))]


@pytest.mark.parametrize("quantiser", ["vq", "gumbel"])
def test_use_of_the_codebook_is_watched_step_by_step(quantiser: str, tmp_path: Path) -> None:
    task = create(tmp_path, {"quantiser": quantiser}, penalty_weight=0.25, batch_size=5)
    for batches in ([task.batch(0, 0), task.batch(0, 1)], [task.batch(1, 0)]):
        with torch.no_grad():
            codes = torch.cat([task.model.encode(batch.images) for batch in batches]).flatten()
            task.model.train()
            for batch in batches:
                task.losses(batch)
        task.end_step(lambda tensor: torch.stack([tensor, tensor]))  # two processes that saw the same
        metrics = task.step_metrics()
        assert metrics["codebook_use"] == pytest.approx(100 * len(codes.unique()) / 8)
        entropy = torch.distributions.Categorical(probs=codes.bincount(minlength=8).double()).entropy()
        assert metrics["codebook_perplexity"] == pytest.approx(entropy.exp().item())
        assert ("temperature" in metrics) == (quantiser == "gumbel")


def test_metrics_are_those_of_what_comes_back_from_the_codes(tmp_path: Path) -> None:
    task = create(tmp_path, batch_size=5)
    task.model.eval()
    with torch.no_grad():
        metrics = task.evaluate()
        images = torch.cat([batch.images for batch in task.data.validation_batches()])
        codes = task.model.encode(images)
        error = (task.model.decode(codes) - images).square().flatten(1).mean(1)
    assert metrics["psnr"] == pytest.approx((-10 * error.log10()).mean().item(), rel=1e-4)
    counts = codes.flatten().bincount(minlength=8)
    assert metrics["codebook_use"] == 100 * (counts > 0).sum().item() / 8
    entropy = torch.distributions.Categorical(probs=counts.double()).entropy()
    assert metrics["codebook_perplexity"] == pytest.approx(entropy.exp().item())


@pytest.mark.parametrize("quantiser", ["vq", "gumbel"])
def test_a_collapsing_codebook_is_told(quantiser: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = create(tmp_path, {"codes": 40, "quantiser": quantiser}, penalty_warmup=3, penalty_weight=0.25)
    if quantiser == "vq":
        task.model.quantiser.codebook.data[1:] += 1e3  # one code is left
    else:
        task.model.quantiser.logits.bias.data[0] += 1e3
    task.model.eval()
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        task.begin_step(3)
        task.evaluate()
        assert bool(caplog.records) == (quantiser == "vq")  # the penalty of `gumbel` is still growing
        task.begin_step(4)
        assert task.evaluate()["codebook_use"] == 2.5
    assert "only 2.5 % of the 40 codes are used" in caplog.text
    advice = {"vq": "or training.learning_rate, or raise data.batch_size", "gumbel": "or penalty_weight, or raise"}
    assert f"lower model.codes {advice[quantiser]}" in caplog.text


@pytest.mark.parametrize(
    ("quantiser", "warmup", "cooling", "said"),
    [
        ("gumbel", 2, 2, None),
        ("gumbel", 2, 150_000, "before temperature_steps (150,000): |set temperature_steps to 2 or less"),
        ("gumbel", 3, 2, "before penalty_warmup (3): |set penalty_warmup to 2 or less"),
        (
            "gumbel",
            3,
            4,
            "before temperature_steps (4) and penalty_warmup (3): |set temperature_steps and",
        ),
        ("vq", 3, 4, None),
    ],
)
def test_schedules_that_do_not_end_are_told_as_training_starts(
    quantiser: str, warmup: int, cooling: int, said: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"penalty_warmup": warmup, "temperature_steps": cooling, "penalty_weight": 0.25}
    task = create(tmp_path, {"quantiser": quantiser}, **fields)
    with caplog.at_level(logging.WARNING):
        trainer(tmp_path / "run", task, max_steps=2, validate_every=2).train()
    told = [record.getMessage() for record in caplog.records if "max_steps" in record.getMessage()]
    assert len(told) == (said is not None)
    if said is not None:
        assert told[0].startswith("training.max_steps (2) is reached ")
        assert [part for part in said.split("|") if part not in told[0]] == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"penalty_warmup": -1}, "penalty_warmup must not be negative"),
        ({"model": {"quantiser": "gumbel"}}, "penalty_weight must be given for gumbel with mse"),
        ({"model": {"channels": 2}}, "channels must be 1 or 3"),
    ],
)
def test_wrong_fields_are_refused(tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(QkvError) as error:
        create(tmp_path, **fields)
    assert message in str(error.value)


if __name__ == "__main__":  # one of several processes
    place = Path(sys.argv[1])
    torch.set_num_threads(1)
    with join() as world:
        with world.leader_first():
            joined = create(place, batch_size=8)
        trainer(place / "two", joined, world, max_steps=4, validate_every=4, accumulate=2).train()
        torch.save(get_weights(joined.model), place / f"rank-{world.rank}.pt")
