"""Settings of the whole suite."""

import os

# Before PyTorch starts: pytest-xdist already fills the cores, and more threads a worker only make them wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The tests use local files only; a library that wants the network should fail, not wait.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
