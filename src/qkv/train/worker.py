"""How processes that `launch` started on one machine find one another, and let nobody else in.

They meet in a file in a folder that only their owner may enter; nothing is unpickled. The sockets between them, gloo's,
are bound to the loopback interface. Once all are connected they listen to nobody (Linux), and each process proves to
each other that it knows the secret in that folder.
"""

import ctypes
import hmac
import os
import shutil
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from qkv.errors import QkvError
from qkv.train.launch import MEETING, SECRET

_STORE = "store"
_SO_ATTACH_FILTER = 26  # from Linux's asm-generic/socket.h
_RETURN = 6  # from Linux's bpf_common.h


def meet(backend: str, rank: int, size: int) -> None:
    """Connect to the others.

    Raises:
        QkvError: somebody else answered in the place of one of them.
    """
    folder = Path(os.environ[MEETING])
    _follow_launcher(folder)
    store = FileStore(str(folder / _STORE), size)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    if backend == "gloo":  # NCCL proves a secret of its own
        for listener in _listeners():
            with listener:
                _deafen(listener)
        prove((folder / SECRET).read_bytes(), rank, size)


def prove(secret: bytes, rank: int, size: int) -> None:
    """Prove the secret to each other process, and have each prove it; a proof is good in one direction only."""

    def proof(sender: int, receiver: int) -> bytes:
        return hmac.digest(secret, f"{sender} to {receiver}".encode(), "sha256")

    sent = torch.tensor([[*proof(rank, other)] for other in range(size)], dtype=torch.uint8)
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    for other in range(size):
        if not hmac.compare_digest(bytes(received[other].tolist()), proof(other, rank)):
            raise QkvError(f"another program connected in the place of worker {other}: look who else works on this "
                           "machine, and start again")  # fmt: skip


def _follow_launcher(folder: Path) -> None:
    """Stop, as after SIGTERM, when the launcher dies: it holds the other end of what is standard input here."""

    def wait() -> None:
        os.read(0, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="launcher", daemon=True).start()


def _listeners() -> Iterator[socket.socket]:
    """This process's listening sockets, each under a descriptor of its own."""
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        internet = found.family in (socket.AF_INET, socket.AF_INET6)
        if internet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield found
        else:
            found.close()


def _deafen(listener: socket.socket) -> None:
    """Have the kernel drop whatever asks a listening socket for a connection (a filter that accepts 0 bytes)."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))
