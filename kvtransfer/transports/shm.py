"""Shared memory, lender's side: hands a read-only descriptor of the pool to processes of the same user on this host.

The pool is a memfd: it has no name anyone could guess, and it goes when the last process that holds it goes.
"""

import fcntl
import os
import socket

from common.net.unix import UnixDoor, same_user
from common.types.errors import StartupError
from kvtransfer.transports.contract import PoolBytes
from kvtransfer.transports.hello import Doorkeeper, Welcome
from kvtransfer.transports.listener import Listener
from kvtransfer.transports.sockets import readable

SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class ShmLender:
    """Lends one pool; once it has the descriptor a fetcher needs nothing more from the lender's process."""

    name = "shm"

    def __init__(self, pool: PoolBytes, epoch: int, *, runtime_dir: str | None = None, receipt_s: float = 2.0) -> None:
        self._pool = pool
        self._receipt_s = receipt_s
        self._doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes)
        self._door = UnixDoor(runtime_dir)
        self._listener: Listener | None = None
        self._fd = -1

    async def start(self) -> None:
        if self._pool.fd is None:
            raise StartupError("the KV pool is not shared memory", "Leave shm out of the transports")
        self._fd = _readable_copy(self._pool.fd)
        try:
            listening = self._door.open()
        except StartupError:
            await self.close()
            raise
        self._listener = Listener(
            listening, self._doorkeeper, self._hand_over, accepts=same_user, receipt_s=self._receipt_s
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
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _hand_over(self, sock: socket.socket, welcome: Welcome) -> None:
        # A fresh connection's buffer is empty: these few bytes never wait.
        socket.send_fds(sock, [welcome.pack()], [self._fd])
        # Nothing more is said; the connection's end tells either side that the other is gone.
        await readable(sock)


def _readable_copy(fd: int) -> int:
    """A descriptor of the same memory that cannot be mapped writable, of a pool that cannot change its size.

    A reader of memory that shrinks under it dies of SIGBUS: without these seals no fetcher takes the descriptor.
    """
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SIZE_SEALS != SIZE_SEALS:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SIZE_SEALS)
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StartupError(
            f"the KV pool cannot be lent as shared memory: {error.strerror}", "Leave shm out of the transports"
        ) from error
