"""Batches: within budget, fair over epochs, a pure function of (seed, epoch), longest first; collation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qkv.data.parallel.batches import BatchSampler, collate, cut_by_length
from qkv.data.parallel.config import CorpusConfig, DataConfig
from qkv.data.parallel.data import ParallelData
from qkv.data.randomness import permute
from qkv.data.text.tokenizer import BEGIN, END, PAD, TokenizerConfig
from qkv.reporter import Reporter


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ParallelData:
    """Directions of 300, 300 and 40 pairs, a tenth of them empty."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def lines(count: int, language: str) -> str:
        sizes = np.where(rng.random(count) < 0.1, 0, rng.integers(1, 20, count))
        return "".join(" ".join(f"{language}{n}" for n in rng.integers(0, 99, size)) + "\n" for size in sizes)

    train = []
    for name, count, languages in (("large", 300, ("en", "de")), ("small", 40, ("en", "cs"))):
        files = {language: str(folder / f"{name}.{language}") for language in languages}
        for language, path in files.items():
            Path(path).write_text(lines(count, language))
        train.append(CorpusConfig(files=files, directions=["en-cs"] if name == "small" else None))
    config = DataConfig(train=train, batch_tokens=500, max_length=60)
    return ParallelData.open(config, TokenizerConfig(vocabulary=350, sampling=0.3), folder, 1, Reporter())


def sampler(data: ParallelData, **changes: object) -> BatchSampler:
    options = {"batch_tokens": 500, "temperature": 1.0, "seed": 1, "window": 150} | changes
    return BatchSampler(data.train, **options)  # pyright: ignore


def counts(data: ParallelData, batches: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.bincount(np.concatenate(batches), minlength=len(data.train))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_permute_is_a_permutation(size: int) -> None:
    every = np.arange(size)
    taken = permute(every, size, 5)
    assert sorted(taken) == every.tolist()
    assert permute(every[size // 2 :], size, 5).tolist() == taken[size // 2 :].tolist()
    if size > 10:
        assert permute(every, size, 6).tolist() != taken.tolist() != every.tolist()


@pytest.mark.parametrize("window", [50, 150, 10_000])
def test_an_epoch_has_every_usable_pair_once(data: ParallelData, window: int) -> None:
    for epoch in (0, 1, 5):
        seen = counts(data, list(sampler(data, window=window).batches(epoch)))
        assert seen.tolist() == data.train.usable(np.arange(len(data.train))).astype(int).tolist()


def test_batches_keep_to_the_budget(data: ParallelData) -> None:
    batches = list(sampler(data).batches(2))
    for batch in batches:
        source, target = data.train.lengths(batch)
        assert len(batch) * max(source.max(), target.max()) <= 500
    source, target = data.train.lengths(np.concatenate(batches))
    padded = sum(len(batch) * np.maximum(*data.train.lengths(batch)).max() for batch in batches)
    assert np.maximum(source, target).sum() > 0.8 * padded  # bucketing leaves little padding


def test_order_is_a_function_of_seed_and_epoch(data: ParallelData) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in sampler(data, seed=seed).batches(epoch)]

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_batches_can_be_had_in_any_order(data: ParallelData) -> None:
    epoch = sampler(data).batches(0)
    expected = [batch.tolist() for batch in epoch]
    fresh = sampler(data).batches(0)
    for number in np.random.default_rng(0).permutation(len(expected)):
        assert fresh[int(number)].tolist() == expected[number]
    with pytest.raises(IndexError):
        fresh[len(fresh)]


def test_the_first_batch_is_the_longest(data: ParallelData) -> None:
    for window in (50, 150, 10_000):
        lengths = [np.maximum(*data.train.lengths(batch)).max() for batch in sampler(data, window=window).batches(0)]
        assert lengths[0] == max(lengths) == max(data.train.longest_source, data.train.longest_target)


def test_temperature_and_weights_without_favourites(data: ParallelData) -> None:
    usable = data.train.usable_pairs
    for temperature, factors in ((2.0, (1, 1, 1)), (1e9, (1, 1, 1)), (1.0, (1, 1, 4)), (2.0, (0.5, 1, 3))):
        batches = sampler(data, temperature=temperature, weights=factors)
        drawn = [counts(data, list(batches.batches(epoch))) for epoch in range(6)]
        total = np.sum(drawn, axis=0)
        weights = usable ** (1 / temperature) * factors
        for direction in range(3):
            of_direction = total[slice(*data.train.range(direction))]
            share = of_direction.sum() / total.sum()
            assert share == pytest.approx(weights[direction] / weights.sum(), rel=0.05)
            used = of_direction[data.train.usable(np.arange(*data.train.range(direction)))]
            assert used.max() - used.min() <= 1


def test_collate_pads_and_shifts(data: ParallelData) -> None:
    indices = data.train.select(0)[:20]
    batch = collate(data.train, indices)
    sources, targets = data.train.texts(indices)
    tag = data.codec.source.tag("de")
    for row, (source, target) in enumerate(zip(data.codec.source.encode(sources), data.codec.target.encode(targets))):
        length = int(batch.source_lengths[row])
        assert batch.source[row, :length].tolist() == [tag, *source, END]
        assert (batch.source[row, length:] == PAD).all()
        assert batch.target_input[row, : len(target) + 1].tolist() == [BEGIN, *target]
        assert batch.target_output[row, : len(target) + 1].tolist() == [*target, END]
        assert (batch.target_input[row, len(target) + 1 :] == PAD).all()
        assert (batch.target_output[row, len(target) + 1 :] == PAD).all()
    assert batch.source.shape[1] == batch.source_lengths.max()
    assert batch.source.dtype == batch.target_input.dtype == torch.int64


def test_sampled_batches_are_reproducible(data: ParallelData) -> None:
    indices = data.train.select(0)[:20]
    plain = collate(data.train, indices)
    first, again, other = (collate(data.train, indices, sampling=0.3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.source, again.source)
    assert not torch.equal(first.source, other.source)
    assert torch.equal(first.target_output, plain.target_output)
    both = collate(data.train, indices, sampling=0.3, sample_target=True, seed=1)
    assert torch.equal(both.source, first.source)
    texts = data.train.texts(indices)
    for tensor, expected in ((both.source, texts[0]), (both.target_output, texts[1])):
        assert data.codec.decode([row[row != PAD].tolist() for row in tensor]) == expected
    assert both.target_output.shape[1] > plain.target_output.shape[1]


def test_training_batches_depend_on_epoch_and_index_alone(data: ParallelData) -> None:
    first = data.batch(1, 3)
    data.batch(0, 0)
    again = data.batch(1, 3)
    assert torch.equal(first.source, again.source)
    assert torch.equal(first.target_output, again.target_output)
    assert data.n_batches(1) == len(sampler(data, window=2**17).batches(1))


def test_cut_by_length_is_exhaustive(data: ParallelData) -> None:
    indices = data.train.select(1)
    batches = cut_by_length(data.train, indices, 100)
    assert sorted(np.concatenate(batches)) == indices.tolist()
    assert cut_by_length(data.train, indices[:0], 100) == []
