"""CUDA IPC, lender's side: hands the pool's handle to processes of the same user on this host, and nothing else.

The handle is made once. It travels only over a connection whose other end the kernel vouches for and that showed a
ticket; with it a peer maps the pool and reads by itself. Nobody's copy costs this process anything.
"""

import socket
import struct
from dataclasses import dataclass

from common.cache.driver import HANDLE_BYTES, DriverError
from common.net.unix import UnixDoor, same_user
from common.types.errors import StartupError
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.digests import DEVICE_SUM
from kvtransfer.transports.hello import WELCOME, Doorkeeper, Malformed, Welcome
from kvtransfer.transports.listener import Listener
from kvtransfer.transports.sockets import readable

OFFER = struct.Struct(f"<16s{HANDLE_BYTES}s")
IPC_WELCOME_BYTES = WELCOME.size + OFFER.size


@dataclass(frozen=True, slots=True)
class Offer:
    """Follows a welcome that is no refusal: the device the pool lies on, and the pool's handle."""

    identity: bytes
    handle: bytes

    def pack(self) -> bytes:
        return OFFER.pack(self.identity, self.handle)

    @staticmethod
    def unpack(data: bytes) -> "Offer":
        if len(data) != OFFER.size:
            raise Malformed("a welcome without a handle")
        return Offer(*OFFER.unpack(data))


class CudaIpcLender:
    """Lends one pool; once it has the handle a fetcher needs this process only to stay alive."""

    name = "cuda_ipc"

    def __init__(self, pool: DevicePool, epoch: int, *, runtime_dir: str | None = None, receipt_s: float = 2.0) -> None:
        self._pool = pool
        self._receipt_s = receipt_s
        self._doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes, DEVICE_SUM)
        self._door = UnixDoor(runtime_dir)
        self._listener: Listener | None = None
        self._offer = b""

    async def start(self) -> None:
        try:
            self._offer = Offer(self._pool.driver.identity, self._pool.memory.handle()).pack()
        except DriverError as error:
            raise StartupError(
                f"the KV pool cannot be lent over CUDA IPC: {error}", "Leave cuda_ipc out of the transports"
            ) from error
        self._listener = Listener(
            self._door.open(), self._doorkeeper, self._hand_over, accepts=same_user, receipt_s=self._receipt_s
        )
        self._listener.start()

    def endpoint(self) -> str:
        return self._door.endpoint

    def ticket(self, fetcher_epoch: int) -> bytes:
        return self._doorkeeper.ticket(fetcher_epoch)

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        self._door.close()

    async def _hand_over(self, sock: socket.socket, welcome: Welcome) -> None:
        # A fresh connection's buffer is empty: these few bytes never wait.
        sock.sendall(welcome.pack() + self._offer)
        # Nothing more is said; the connection's end tells either side that the other is gone.
        await readable(sock)
