"""The few calls Baton makes of NCCL: a communicator of two, sends and receives on a stream, and a way out of both.

Communicators are made non-blocking, so that one whose other side never comes can be given up. Torch brings the library.
"""

import ctypes
import threading
from typing import Protocol

import torch

from kvtransfer.transports.contract import TransportFailed

ID_BYTES = 128
_SUCCESS, _IN_PROGRESS = 0, 7
_UINT8 = 1
_MAGIC, _VERSION = 0xCAFEBEEF, 21400  # the first version with `blocking`; the library fills in what came later
PAUSE_S = 0.005
"""NCCL tells of progress only when asked. Joining takes tens of milliseconds; nothing waits like this afterwards."""


class Communicator(Protocol):
    """Two processes. Sends and receives are launched on a stream and match in order; any thread may abort."""

    def send(self, pointer: int, num_bytes: int, stream: int) -> None: ...

    def receive(self, pointer: int, num_bytes: int, stream: int) -> None: ...

    def abort(self) -> None:
        """Ends what is under way, wherever it stands, and the communicator. May be called twice."""
        ...


class Nccl(Protocol):
    """The library in this process."""

    def new_id(self) -> bytes:
        """Names one communicator; both sides must be told."""
        ...

    def join(self, id: bytes, rank: int, device: torch.device, timeout_s: float) -> Communicator:
        """Waits for the other side; raises `TransportFailed`."""
        ...


class _Id(ctypes.Structure):
    _fields_ = [("internal", ctypes.c_ubyte * ID_BYTES)]


class _Config(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("magic", ctypes.c_uint),
        ("version", ctypes.c_uint),
        ("blocking", ctypes.c_int),
    ]


class NcclLibrary:
    """`libnccl.so.2`, as torch loaded it or as the machine has it."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libnccl.so.2")
        except OSError as error:
            raise TransportFailed("NCCL is not installed here") from error

    def new_id(self) -> bytes:
        made = _Id()
        self.call("ncclGetUniqueId", ctypes.byref(made))
        return bytes(made.internal)

    def join(self, id: bytes, rank: int, device: torch.device, timeout_s: float) -> "NcclCommunicator":
        if len(id) != ID_BYTES:
            raise TransportFailed("the lender named a communicator of another kind")
        config = _Config(ctypes.sizeof(_Config), _MAGIC, _VERSION, 0)
        handle = ctypes.c_void_p()
        with torch.cuda.device(device):
            self.call(
                "ncclCommInitRankConfig",
                *(ctypes.byref(handle), ctypes.c_int(2), _Id.from_buffer_copy(id), ctypes.c_int(rank)),
                ctypes.byref(config),
            )
        communicator = NcclCommunicator(self, handle)
        try:
            communicator.settle(timeout_s)
        except TransportFailed:
            communicator.abort()
            raise
        return communicator

    def call(self, name: str, *arguments: object) -> int:
        """In progress is no error: a non-blocking communicator says so of what it has begun."""
        code = int(getattr(self._library, name)(*arguments))
        if code not in (_SUCCESS, _IN_PROGRESS):
            raise TransportFailed(f"NCCL refused ({name}, code {code})")
        return code


class NcclCommunicator:
    """One pair's."""

    def __init__(self, library: NcclLibrary, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle: ctypes.c_void_p | None = handle
        self._lock = threading.Lock()
        self._aborted = threading.Event()

    def settle(self, timeout_s: float) -> None:
        """Returns once what was begun has been taken on by the device."""
        for _ in range(int(timeout_s / PAUSE_S) + 1):
            state = ctypes.c_int(_IN_PROGRESS)
            with self._lock:
                self._library.call("ncclCommGetAsyncError", self._alive(), ctypes.byref(state))
            if state.value == _SUCCESS:
                return
            if state.value != _IN_PROGRESS:
                raise TransportFailed(f"NCCL failed (code {state.value})")
            if self._aborted.wait(PAUSE_S):
                raise TransportFailed("the connection was fenced")
        raise TransportFailed("the other side did not join within NCCL")

    def send(self, pointer: int, num_bytes: int, stream: int) -> None:
        self._move("ncclSend", pointer, num_bytes, 1, stream)

    def receive(self, pointer: int, num_bytes: int, stream: int) -> None:
        self._move("ncclRecv", pointer, num_bytes, 0, stream)

    def abort(self) -> None:
        self._aborted.set()
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            self._library.call("ncclCommAbort", handle)

    def _move(self, name: str, pointer: int, num_bytes: int, peer: int, stream: int) -> None:
        """The lender is rank 0 and sends to rank 1."""
        with self._lock:
            code = self._library.call(
                name,
                *(ctypes.c_void_p(pointer), ctypes.c_size_t(num_bytes), ctypes.c_int(_UINT8), ctypes.c_int(peer)),
                *(self._alive(), ctypes.c_void_p(stream)),
            )
        if code == _IN_PROGRESS:
            self.settle(10.0)

    def _alive(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise TransportFailed("the connection was fenced")
        return self._handle
