"""The discrete VAE by its definitions: relaxation, divergence, straight-through gradient, codebook updates."""

import math

import pytest
import torch
from torch import nn

from qkv.config import parse
from qkv.errors import QkvError
from qkv.models.dvae import DVAE, DVAEConfig, squeeze
from qkv.models.quantiser import CodeStatistics, GumbelQuantiser, VectorQuantiser, look_up

TINY = {"image_size": 16, "codes": 6, "d_code": 5, "width": 4, "downsamplings": 2, "blocks": 1}


def make(**options) -> DVAE:
    torch.manual_seed(0)
    return DVAE(DVAEConfig(**{**TINY, **options})).eval()


def vector_quantiser(codes: int, d_code: int, decay: float = 0.5) -> VectorQuantiser:
    """One that reads its vectors as they come in."""
    torch.manual_seed(0)
    quantiser = VectorQuantiser(d_code, codes, d_code, decay)
    quantiser.project = nn.Identity()
    return quantiser.train()


@pytest.mark.parametrize("quantiser", ["gumbel", "vq"])
@pytest.mark.parametrize("reconstruction", ["logit_laplace", "mse", "l1"])
@pytest.mark.parametrize("sides", [(16, 16), (8, 24)])
def test_a_picture_of_any_size_becomes_codes_and_a_picture(
    quantiser: str, reconstruction: str, sides: tuple[int, int]
) -> None:
    model = make(quantiser=quantiser, reconstruction=reconstruction, channels=1)
    images = torch.rand(3, 1, *sides)
    codes = model.encode(images)
    assert codes.shape == (3, sides[0] // 4, sides[1] // 4)
    assert codes.dtype == torch.int64
    assert 0 <= codes.min() <= codes.max() < 6
    decoded = model.decode(codes)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1
    torch.testing.assert_close(model.encode(images[1:2]), codes[1:2])  # whatever stands beside it in the batch

    output = model(images)
    assert torch.equal(output.codes, codes)
    torch.testing.assert_close(model.images(output.mean), decoded)
    assert (output.log_scale is None) == (reconstruction != "logit_laplace")
    assert output.penalty.shape == codes.shape


def test_sides_that_codes_do_not_fill_are_refused() -> None:
    with pytest.raises(ValueError, match="sides of 16 x 18 pixels must be multiples of 4"):
        make().encode(torch.rand(1, 3, 16, 18))


def test_the_picture_of_a_logit_is_the_inverse_of_squeezing() -> None:
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(make().images(squeeze(images).logit()), images)


def gumbel(codes: int = 7) -> GumbelQuantiser:
    torch.manual_seed(0)
    return GumbelQuantiser(4, codes, codes).train()


def test_cold_relaxation_is_a_draw_of_single_codes() -> None:
    quantiser = gumbel()
    nn.init.eye_(quantiser.codebook)  # so that vectors are the shares of the mixture
    x = torch.randn(1, 4, 1, 1).expand(20_000, -1, -1, -1)
    with torch.no_grad():
        shares = quantiser(x, 1e-4).vectors[:, :, 0, 0]
        expected = quantiser.logits(x[:1]).softmax(1).flatten()
    assert (shares.max(1).values > 0.999).float().mean() > 0.99
    torch.testing.assert_close(shares.mean(0), expected, atol=0.015, rtol=0)


def test_warm_relaxation_mixes_codes_as_torch_does() -> None:
    quantiser = gumbel()
    x = torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        torch.manual_seed(1)
        ours = quantiser(x, 0.7).vectors
        torch.manual_seed(1)
        mixture = nn.functional.gumbel_softmax(quantiser.logits(x), tau=0.7, dim=1)
    torch.testing.assert_close(ours, torch.einsum("bkhw,kd->bdhw", mixture, quantiser.codebook))


def test_without_training_the_likeliest_code_is_taken() -> None:
    quantiser = gumbel().eval()
    quantised = quantiser(torch.randn(2, 4, 3, 3), 1.0)
    assert torch.equal(quantised.vectors, look_up(quantiser.codebook, quantised.codes))


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 0.0), (1e4, math.log(7))])
def test_divergence_of_the_even_and_the_certain(scale: float, expected: float) -> None:
    quantiser = gumbel()
    nn.init.zeros_(quantiser.logits.weight)
    quantiser.logits.bias.data = scale * torch.eye(7)[2]
    penalty = quantiser(torch.randn(2, 4, 3, 3), 1.0).penalty
    torch.testing.assert_close(penalty, torch.full((2, 3, 3), expected), atol=1e-5, rtol=1e-5)


def test_divergence_is_that_of_torch() -> None:
    quantiser = gumbel()
    x = torch.randn(2, 4, 3, 3)
    posterior = torch.distributions.Categorical(logits=quantiser.logits(x).movedim(1, -1))
    even = torch.distributions.Categorical(logits=torch.zeros(2, 3, 3, 7))
    expected = torch.distributions.kl_divergence(posterior, even)
    torch.testing.assert_close(quantiser(x, 1.0).penalty, expected)


def test_straight_through_gives_the_nearest_code_and_passes_the_gradient_as_it_is() -> None:
    quantiser = vector_quantiser(codes=9, d_code=3)
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    quantised = quantiser(x)
    distances = torch.cdist(x.movedim(1, -1).reshape(-1, 3), quantiser.codebook)
    assert torch.equal(quantised.codes.flatten(), distances.argmin(1))
    torch.testing.assert_close(quantised.vectors, look_up(quantiser.codebook, quantised.codes))
    torch.testing.assert_close(quantised.penalty.flatten(), distances.min(1).values.square())
    gradient = torch.randn_like(quantised.vectors)
    quantised.vectors.backward(gradient)
    assert torch.equal(x.grad, gradient)
    assert quantiser.codebook.grad is None


def test_codes_find_the_centres_that_k_means_finds() -> None:
    """On one batch, over and over: Lloyd's algorithm from the same beginning, whose fixed point is the same."""
    quantiser = vector_quantiser(codes=4, d_code=2, decay=0.8)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = (centres[:, None] + torch.randn(4, 25, 2)).reshape(100, 2)
    begin = centres + torch.randn(4, 2)
    quantiser.codebook.data.copy_(begin)
    quantiser.shares.data.fill_(0.25)
    means = begin.clone()
    for _ in range(10):
        nearest = torch.cdist(points, means).argmin(1)
        means = torch.stack([points[nearest == code].mean(0) for code in range(4)])
    x = points.T.reshape(1, 2, 10, 10)
    for _ in range(100):
        quantiser(x)
        quantiser.update(quantiser.take_statistics())
    torch.testing.assert_close(quantiser.codebook.data, means)


def test_one_update_is_the_moving_average_of_counts_and_sums() -> None:
    """Van den Oord et al. 2017, equations 6 to 8, with counts and sums kept apart."""
    quantiser = vector_quantiser(codes=3, d_code=2, decay=0.9)
    quantiser.shares.data.copy_(torch.tensor([0.2, 0.5, 0.3]))
    counts, sums = quantiser.shares.data.clone(), quantiser.shares.data[:, None] * quantiser.codebook.data
    for _ in range(3):
        x = torch.randn(1, 2, 4, 4)
        quantised = quantiser(x)
        assigned = nn.functional.one_hot(quantised.codes.flatten(), 3).float()
        counts = 0.9 * counts + 0.1 * assigned.sum(0) / 16
        sums = 0.9 * sums + 0.1 * assigned.T @ x[0].flatten(1).T / 16
        quantiser.update(quantiser.take_statistics())
    torch.testing.assert_close(quantiser.codebook.data, sums / counts[:, None])
    torch.testing.assert_close(quantiser.shares.data, counts)


def test_dead_codes_become_vectors_of_the_batch() -> None:
    quantiser = vector_quantiser(codes=5, d_code=2, decay=0.99)
    quantiser.shares.data.fill_(0.2)
    quantiser.shares.data[3] = 0.001
    quantiser.codebook.data[3] = 1e6  # far from everything
    alive = quantiser.codebook.data.clone()
    x = torch.randn(2, 2, 3, 3)
    quantiser(x)
    quantiser.update(quantiser.take_statistics())
    points = x.movedim(1, -1).reshape(-1, 2)
    assert torch.cdist(quantiser.codebook.data, points).min(1).values[3] == 0
    assert quantiser.shares[3] == pytest.approx(0.2)
    kept = [0, 1, 2, 4]
    assert (quantiser.codebook.data - alive)[kept].abs().max() < 0.2


def test_the_first_update_draws_all_codes_from_the_batch() -> None:
    quantiser = vector_quantiser(codes=50, d_code=2, decay=0.99)
    x = 100 + torch.randn(1, 2, 8, 8)
    quantiser(x)
    quantiser.update(quantiser.take_statistics())
    assert len(quantiser(x).codes.unique()) > 20


def test_batches_gathered_one_by_one_are_one_large_batch() -> None:
    whole, parts = (vector_quantiser(codes=4, d_code=3) for _ in range(2))
    x = torch.randn(9, 3, 4, 4)
    for quantiser, batches in ((whole, [x]), (parts, x.split([2, 3, 4]))):
        quantiser.shares.data.fill_(0.25)  # none is dead
        for batch in batches:
            quantiser(batch)
        quantiser.update(quantiser.take_statistics())
    torch.testing.assert_close(parts.codebook.data, whole.codebook.data)
    torch.testing.assert_close(parts.shares.data, whole.shares.data)


def test_merged_candidates_come_from_all_batches_alike() -> None:
    stacked = [CodeStatistics.of(torch.full((5, 1), float(n)), torch.zeros(5).long(), 3000) for n in range(3)]
    merged = CodeStatistics(*map(torch.stack, zip(*(vars(part).values() for part in stacked)))).merged()
    assert merged.counts[0] == 15
    assert merged.sums[0] == 15
    shares = torch.bincount(merged.candidates.flatten().long()) / 3000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.05, rtol=0)


def test_encoding_and_validating_gather_nothing() -> None:
    model = make(quantiser="vq")
    model(torch.rand(1, 3, 16, 16))
    model.train().encode(torch.rand(1, 3, 16, 16))
    with pytest.raises(AssertionError, match="no batch has passed"):
        model.quantiser.take_statistics()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 18}, "image_size (18) must be a multiple of 4"),
        ({"codes": 1}, "codes must be at least 2"),
        ({"blocks": 0}, "blocks must be at least 1"),
        ({"quantiser": "lfq"}, "quantiser"),
        ({"reconstruction": "l2"}, "reconstruction"),
        ({"decay": 1.0}, "decay must be at least 0 and below 1"),
    ],
)
def test_sizes_that_cannot_work_are_refused(options: dict, message: str) -> None:
    with pytest.raises(QkvError) as error:
        parse(DVAEConfig, {**TINY, **options}, "model")
    assert message in str(error.value)
