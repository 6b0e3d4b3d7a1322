"""Use of a codebook, for counts whose answers are known."""

import pytest
import torch

from qkv.metrics.codes import codebook_use, perplexity


def test_codes_that_occur() -> None:
    assert codebook_use(torch.tensor([5.0, 5.0, 0.0, 5.0])) == 0.75
    assert codebook_use(torch.ones(7)) == 1


def test_perplexity_is_the_number_of_codes_that_are_used_alike() -> None:
    assert perplexity(torch.tensor([5.0, 5.0, 0.0, 5.0])) == pytest.approx(3)
    assert perplexity(torch.tensor([0.0, 9.0])) == pytest.approx(1)
    counts = torch.tensor([1.0, 2.0, 3.0])
    entropy = torch.distributions.Categorical(probs=counts.double()).entropy()
    assert perplexity(counts) == pytest.approx(entropy.exp().item())
