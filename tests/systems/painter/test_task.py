"""The task of the painter: its losses against the formula, what it keeps and refuses, and learning colours by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

import qkv
from qkv.config import parse
from qkv.data.pictures.preprocessing import Preprocessing
from qkv.errors import QkvError
from qkv.figures.gallery import draw_gallery
from qkv.model_directory import read_weights, save_model
from qkv.models.dvae import DVAE, DVAEConfig
from qkv.models.weights import get_weights
from qkv.reporter import Reporter
from qkv.systems.codes.saved import Saved
from qkv.systems.painter.task import PainterConfig, PainterTask
from qkv.train.config import TrainingConfig
from qkv.train.task import Setting
from qkv.train.trainer import Trainer

COLOURS = {
    "red": (220, 40, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 30),
    "pink": (250, 130, 180),
    "brown": (110, 70, 30),
    "white": (250, 250, 250),
    "black": (10, 10, 10),
}
CODES = DVAEConfig(
    image_size=8, codes=8, d_code=3, width=6, downsamplings=1, blocks=1, quantiser="vq", reconstruction="mse"
)
MODEL = {"text_length": 8, "grid": 4, "d_model": 32, "n_heads": 2, "n_layers": 2, "d_ff": 64, "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flat pictures with captions, and a discrete VAE that knows their colours."""
    place = tmp_path_factory.mktemp("colours")
    draw = np.random.default_rng(0)
    (place / "pictures").mkdir()
    for number in range(160):
        name, colour = list(COLOURS.items())[number % 8]
        pixels = np.clip(np.array(colour) + draw.integers(-6, 6, (8, 8, 3)), 0, 255).astype(np.uint8)
        file = place / "pictures" / f"{number}.png"
        Image.fromarray(pixels).save(file)
        file.with_suffix(".txt").write_text(f"a {name} wall\nthe {name} one\n")
    as_they_are = Preprocessing(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
    saved = Saved(model=CODES, preprocessing=as_they_are)
    save_model(place / "codes", saved, get_weights(palette()), {})
    return place


@torch.no_grad()
def palette() -> DVAE:
    """A discrete VAE whose codes are the colours: of each 2 x 2 pixels it takes the one that is nearest to the mean."""
    model = DVAE(CODES)
    for parameter in model.parameters():
        parameter.zero_()
    first, last, project = model.encoder[0].weight, model.decoder[-1].weight, model.quantiser.project
    for channel in range(3):
        for sign, row in ((1, channel), (-1, channel + 3)):  # what is below 0 must pass a ReLU too
            first[row, channel, 1:3, 1:3] = sign / 4
            project.weight[channel, row] = sign / 2
        project.bias[channel] = 1 / 2  # the encoder sees -1 to 1
        model.decoder[0].weight[channel, channel, 1, 1] = 1
        last[channel, channel, 1:3, 1:3] = 1
    model.quantiser.codebook.copy_(torch.tensor(list(COLOURS.values())) / 255)
    return model


def train(task, run: Path, steps: int, **settings):
    run.mkdir(exist_ok=True)
    config = {"warmup": 3, "validate_every": steps, "schedule": "cosine", "learning_rate": 0.01, "max_steps": steps}
    return Trainer(task, TrainingConfig(**{**config, "device": "cpu", **settings}), run, 1, Reporter()).train()


def create(folder: Path, run: Path, model: dict | None = None, initial: Path | None = None, **fields) -> PainterTask:
    data = {"train": [{"folder": str(folder / "pictures"), "language": "en"}], "batch_size": 16, "text_length": 8}
    sections = {
        "codes": str(folder / "codes"),
        "data": {**data, "holdout": 0.1},
        "tokenizer": {"vocabulary": 300},
        "model": {**MODEL, **(model or {})},
        **fields,
    }
    torch.manual_seed(0)
    config = parse(PainterConfig, sections, "test")
    return PainterTask.create(config, Setting(folder=run, initial=initial))


def test_it_learns_to_draw_what_a_caption_names(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run", guidance=1.5)
    outcome = train(task, tmp_path / "run", 150)
    assert outcome.score is not None
    assert outcome.score > 80  # percent, of 12.5 for a guess among eight codes
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()][-1]
    assert metrics["validation_code_likelihood"] == pytest.approx(100 * np.exp(-metrics["validation_image"]))

    painter = qkv.load(tmp_path / "run", device="cpu")
    captions = [template.format(name) for name in COLOURS for template in ("a {} wall", "the {} one")]
    for guidance in (1.0, 2.0):
        right = 0
        for colour, row in zip(
            np.repeat(list(COLOURS.values()), 2, axis=0), painter.draw(captions, n=6, guidance=guidance)
        ):
            right += sum((np.abs(np.asarray(image) - colour.astype(float)) <= 1).all() for image in row)
        assert right > 0.8 * 96
    assert "8 x\n8 pixels" in (tmp_path / "run" / "model" / "README.md").read_text()
    shown = list(dict.fromkeys(task.data.validation_texts(4)))
    assert (tmp_path / "run" / "drawings.png").read_bytes() == draw_gallery(painter.draw(shown, n=8), shown)

    again = create(folder, tmp_path / "again", initial=tmp_path / "run" / "model")
    weights = read_weights(tmp_path / "run" / "model")
    assert all(torch.equal(weight, weights[f"dalle.{name}"]) for name, weight in get_weights(again.model).items())


def test_losses_weigh_the_tokens_of_captions_and_pictures(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run", text_weight=0.25)
    batch = task.batch(0, 0)
    text, image = task.model(batch.captions, batch.lengths, batch.codes)
    nats = [
        F.cross_entropy(text[row, :length], batch.captions[row, :length], reduction="sum")
        for row, length in enumerate(batch.lengths.tolist())
    ]
    codes = F.cross_entropy(image.transpose(1, 2), batch.codes, reduction="sum")
    losses = task.losses(batch)
    torch.testing.assert_close(losses["text tokens"], 0.25 * torch.stack(nats).sum())
    torch.testing.assert_close(losses["codes"], 0.75 * codes)
    assert task.denominators(batch) == {"text tokens": float(batch.lengths.sum()), "codes": 256.0}
    blank = replace(batch, lengths=torch.zeros_like(batch.lengths))
    assert task.losses(blank)["text tokens"] == 0
    assert task.denominators(blank)["text tokens"] == 1


def test_captions_are_left_out_as_often_as_asked(folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run", caption_dropout=0.3)
    batches = [task.batch(epoch, index) for epoch in range(20) for index in range(task.n_batches(epoch))]
    left_out = torch.cat([batch.lengths == 0 for batch in batches])
    assert 0.25 < left_out.double().mean() < 0.35
    assert torch.equal(
        task.batch(3, 2).lengths, create(folder, tmp_path / "other", caption_dropout=0.3).batch(3, 2).lengths
    )
    never = create(folder, tmp_path / "never", caption_dropout=0.0)
    assert all((never.batch(0, index).lengths > 0).all() for index in range(never.n_batches(0)))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_noise_shows_codes_of_the_next_picture_in_training_alone(share: float, folder: Path, tmp_path: Path) -> None:
    task = create(folder, tmp_path / "run", code_noise=share)
    codes = torch.stack([torch.full((16,), row) for row in range(8)])
    batch, read = replace(task.batch(0, 0), codes=codes.repeat(2, 1)), []
    torch.manual_seed(0)
    with task.model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[2])):
        losses = [task.losses(batch)["codes"] for _ in range(500)]
    of_next = (torch.stack(read) == batch.codes.roll(1, 0)).double()
    assert ((torch.stack(read) == batch.codes) | (of_next == 1)).all()
    shares = of_next.mean(2).flatten()
    assert abs(shares.mean() - share / 2) < 0.01
    # Uniform shares of 16 codes each: the variance of the share, and that of so many draws.
    assert abs(shares.var() - (share**2 / 12 + (share / 2 - share**2 / 3) / 16)) < 0.01
    right = F.cross_entropy(
        task.model(batch.captions, batch.lengths, read[7])[1].transpose(1, 2), batch.codes, reduction="sum"
    )
    torch.testing.assert_close(losses[7], 7 / 8 * right)
    assert task.evaluate() == task.evaluate()


def test_a_run_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    whole = create(folder, tmp_path / "whole", {"dropout": 0.2}, code_noise=0.5)
    train(whole, tmp_path / "whole", 8, validate_every=4)
    begun = create(folder, tmp_path / "parts", {"dropout": 0.2}, code_noise=0.5)
    trainer = Trainer(
        begun,
        TrainingConfig(warmup=3, schedule="cosine", learning_rate=0.01, max_steps=8, validate_every=4, device="cpu"),
        tmp_path / "parts",
        1,
        Reporter(),
    )
    steps = trainer._step

    def stop(step, *rest):
        if step == 6:
            raise RuntimeError("killed")
        return steps(step, *rest)

    trainer._step = stop
    with pytest.raises(RuntimeError, match="killed"):
        trainer.train()
    went_on = create(folder, tmp_path / "parts", {"dropout": 0.2}, code_noise=0.5)
    train(went_on, tmp_path / "parts", 8, validate_every=4)
    others = get_weights(went_on.model)
    assert all(torch.equal(weight, others[name]) for name, weight in get_weights(whole.model).items())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": {"grid": 2}}, r"model.grid is 2, but .*codes makes 4 x 4 codes of a picture: set it to 4"),
        ({"model": {"text_length": 9}}, r"data.text_length \(8\) and model.text_length \(9\) must be equal"),
        ({"caption_dropout": 1.0}, "caption_dropout must be at least 0 and below 1"),
        ({"code_noise": 1.1}, "code_noise must be from 0 to 1, not 1.1"),
        ({"guidance": -1.0}, "guidance must be at least 0, not -1.0"),
        ({"guidance": 2.0, "caption_dropout": 0.0}, "guidance 2.0 needs pictures without their captions: raise"),
        ({"text_weight": -0.1}, "text_weight must be at least 0 and below 1"),
        ({"codes": "nowhere"}, "codes: there is no model 'nowhere'"),
        ({"codes": "multi30k"}, "is a translator, not a discrete VAE: choose one"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path, fields: dict, said: str) -> None:
    with pytest.raises(QkvError, match=said) as error:
        create(folder, tmp_path / "run", **fields)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "codes").exists()  # so that another attempt may name others


def test_a_run_keeps_its_codes(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original = tmp_path / "codes"
    shutil.copytree(folder / "codes", original)
    first = create(folder, tmp_path / "run", codes=str(original)).batch(0, 0)
    change(original)
    assert torch.equal(create(folder, tmp_path / "run", codes=str(original)).batch(0, 0).codes, first.codes)
    assert "has changed since this run began; the run goes on with its copy" in caplog.text
    caplog.clear()
    shutil.rmtree(original)
    assert torch.equal(create(folder, tmp_path / "run", codes=str(original)).batch(0, 0).codes, first.codes)
    assert not caplog.records


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": {"n_layers": 1}}, "model.n_layers is 1, but the initial model's is 2: set it to that"),
        ({"model": {"attention": ["row"]}}, "model.attention is"),
        ({"tokenizer": {"vocabulary": 290}}, "tokenizer.vocabulary is 290, but the initial model's is 300"),
        ({"changed": True}, "is not the discrete VAE that .*initial draws with"),
    ],
)
def test_an_initial_model_must_fit(folder: Path, tmp_path: Path, fields: dict, said: str) -> None:
    first = create(folder, tmp_path / "first")
    facts = {"step": 1, "hours": 0.0, "validation": {}}
    weights = {name: weight.half() for name, weight in get_weights(first.model).items()}
    first.export(tmp_path / "initial", weights, facts)
    again = create(folder, tmp_path / "again", {"dropout": 0.3}, initial=tmp_path / "initial")
    for name, weight in get_weights(again.model).items():
        assert torch.equal(weight.half(), weights[name])

    codes = tmp_path / "codes"
    shutil.copytree(folder / "codes", codes)
    if fields.pop("changed", False):
        change(codes)
    with pytest.raises(QkvError, match=said):
        create(folder, tmp_path / "other", initial=tmp_path / "initial", codes=str(codes), **fields)


def change(codes: Path) -> None:
    """Another training would end with other weights."""
    weights = {name: weight + 0.1 for name, weight in read_weights(codes).items()}
    save_file(weights, codes / "model.safetensors")
