"""NCCL without a device: communicators meet by name in this process; a receive waits until it is sent or aborted."""

import ctypes
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field

import torch

from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.cuda.nccl_library import ID_BYTES


@dataclass(eq=False)
class Pipe:
    """What lies between two communicators of one name."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    ranks: set[int] = field(default_factory=set)
    sent: deque[bytes] = field(default_factory=deque)
    aborted: bool = False


@dataclass(eq=False)
class FakeNccl:
    """`swallow` loses whatever is sent; `absent` lets nobody join; `lingering` holds an abort back after its effect."""

    pipes: dict[bytes, Pipe] = field(default_factory=dict)
    swallow: bool = False
    absent: bool = False
    lingering: threading.Event | None = None

    def new_id(self) -> bytes:
        id = secrets.token_bytes(ID_BYTES)
        self.pipes[id] = Pipe()
        return id

    def join(self, id: bytes, rank: int, device: torch.device, timeout_s: float) -> "FakeCommunicator":
        pipe = self.pipes[id]
        with pipe.changed:
            pipe.ranks.add(rank)
            pipe.changed.notify_all()
            if self.absent or not pipe.changed.wait_for(lambda: len(pipe.ranks) == 2, timeout_s):
                raise TransportFailed("the other side did not join within NCCL")
        return FakeCommunicator(self, pipe)


@dataclass(eq=False)
class FakeCommunicator:
    """Does what the device would do in order, at once."""

    nccl: FakeNccl
    pipe: Pipe

    def send(self, pointer: int, num_bytes: int, stream: int) -> None:
        with self.pipe.changed:
            if not self.nccl.swallow:
                self.pipe.sent.append(ctypes.string_at(pointer, num_bytes))
            self.pipe.changed.notify_all()

    def receive(self, pointer: int, num_bytes: int, stream: int) -> None:
        with self.pipe.changed:
            self.pipe.changed.wait_for(lambda: self.pipe.sent or self.pipe.aborted, 60)
            if not self.pipe.sent:
                return
            content = self.pipe.sent.popleft()
        assert len(content) == num_bytes
        ctypes.memmove(pointer, content, num_bytes)

    def abort(self) -> None:
        with self.pipe.changed:
            self.pipe.aborted = True
            self.pipe.changed.notify_all()
        if self.nccl.lingering is not None:  # a receive ends on the device before the call that ends it does
            self.nccl.lingering.wait(60)
