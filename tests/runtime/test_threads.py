import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from qkv.errors import QkvError
from qkv.runtime import device
from qkv.runtime.device import use_threads
from qkv.runtime.engine import open_engine
from qkv.runtime.threads import cores


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "6400000 100000\n"}, 8),
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/user/job/cpu.max": "max 100000\n",
            },
            3,
        ),
        # A container that shows its own group as the root, under the path that the host gives it.
        ({"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "5:cpuset:/\n4:cpu,cpuacct:/job\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "\n"}, 8),
    ],
)
def test_cores_are_those_bound_to_within_the_quota_of_the_control_groups(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    write(tmp_path, files)
    assert cores(tmp_path) == expected


@pytest.fixture
def eight_cores(monkeypatch):
    """PyTorch with eight threads, as on a machine of eight processors where nobody said otherwise."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "cores", lambda: 8)
    monkeypatch.setattr(device, "_chosen", -1)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def test_threads_suit_the_largest_model_and_the_quota(eight_cores, monkeypatch):
    open_engine(nn.Linear(2, 2), "cpu")
    assert torch.get_num_threads() == 4
    use_threads(parameters=2 * 2**20)
    assert torch.get_num_threads() == 6
    use_threads(parameters=1)  # a second, small model of a process takes none from the first
    assert torch.get_num_threads() == 6
    use_threads()
    assert torch.get_num_threads() == 8
    monkeypatch.setattr(device, "_chosen", -1)
    monkeypatch.setattr(device, "cores", lambda: 3)
    use_threads()
    assert torch.get_num_threads() == 3


def test_what_the_user_says_of_threads_stays(eight_cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    use_threads(parameters=1)
    assert torch.get_num_threads() == 8
    monkeypatch.delenv("OMP_NUM_THREADS")
    use_threads(parameters=1)
    torch.set_num_threads(7)
    use_threads(parameters=1)
    assert torch.get_num_threads() == 7
    use_threads(5)
    use_threads(parameters=10**9)
    assert torch.get_num_threads() == 5
    with pytest.raises(QkvError, match="at least 1 thread, not 0"):
        use_threads(0)


def start(code, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def test_threads_of_pytorch_do_not_spin():
    _, shown = start("import qkv, torch", OMP_DISPLAY_ENV="true")  # what the OMP runtime has understood
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in shown.replace("=", " = ").replace("  ", " ")


def test_how_threads_wait_is_left_to_the_user_who_says_it():
    code = "import os, qkv; print(os.environ.get('OMP_WAIT_POLICY'))"
    assert start(code, GOMP_SPINCOUNT="10")[0] == "None\n"
    assert start(code, OMP_WAIT_POLICY="active")[0] == "active\n"
