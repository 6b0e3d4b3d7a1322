"""Settings of the whole suite."""

import os
import signal
from zlib import crc32

# Before PyTorch starts: pytest-xdist already fills the cores, and more threads a worker only make them wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The tests use local files only; a library that wants the network should fail, not wait.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import pytest
import torch

# Under nohup, and in the background of a script, these are ignored, and so they are in what the tests start.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler)

# Which tests ran before in the same worker differs from run to run: each test, and each fixture, has random numbers
# of its own, the same in every run.


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    torch.manual_seed(crc32(fixturedef.argname.encode()))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    torch.manual_seed(crc32(item.nodeid.encode()))
