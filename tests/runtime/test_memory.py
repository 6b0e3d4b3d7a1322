import os

import pytest
from torch import nn

from qkv.errors import QkvError
from qkv.runtime import memory
from qkv.runtime.memory import new_model


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda: 2**34)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(QkvError, match=r"1,099,511,627,776 parameters and takes 16,384\.0 GiB .* has 16\.0 GiB: lower"):
        new_model(lambda: nn.Linear(2**20, 2**20, bias=False))
    with pytest.raises(QkvError, match="no model can have these sizes"):
        new_model(lambda: nn.Linear(2**40, 2**40))


def test_training_takes_four_copies_and_an_accelerator_leaves_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for accelerated, copies in ((False, 4), (True, 1)):
        monkeypatch.setattr("torch.accelerator.is_available", lambda yes=accelerated: yes)
        monkeypatch.setattr(memory, "memory", lambda n=copies: n * 4 * 600)
        assert new_model(lambda: nn.Linear(30, 20, bias=False)).weight.shape == (20, 30)
        monkeypatch.setattr(memory, "memory", lambda n=copies: n * 4 * 600 - 1)
        with pytest.raises(QkvError, match="600 parameters"):
            new_model(lambda: nn.Linear(30, 20, bias=False))


def test_memory_is_that_of_the_machine_or_of_the_control_group(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for content, expected in (("max\n", machine), ("1000000\n", 10**6), (f"{2**63}\n", machine)):
        (tmp_path / "memory.max").write_text(content)
        monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path / "memory.max")
        assert memory.memory() == expected
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path / "none")
    assert memory.memory() == machine
