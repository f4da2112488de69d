"""Accepts connections for a lender: bounded in number, each with a receipt deadline for its hello.

Owns the listening socket and all accepted ones; what is said after the hello is the transport's business.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from functools import partial

from common.net.background import Background
from kvtransfer.transports.hello import HELLO, Doorkeeper, Refusal, Welcome
from kvtransfer.transports.sockets import Disconnected, receive, send_vector

CLOSED = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
RETRY_S = 0.25


class Listener:
    """Lets in who shows a ticket; strangers get `receipt_s` and at most `max_strangers` places."""

    def __init__(
        self,
        listening: socket.socket,
        doorkeeper: Doorkeeper,
        serve: Callable[[socket.socket, Welcome], Awaitable[None]],
        *,
        accepts: Callable[[socket.socket], bool] = lambda _: True,
        secure: Callable[[socket.socket], Awaitable[socket.socket]] | None = None,
        receipt_s: float = 2.0,
        max_connections: int = 256,
        max_strangers: int = 64,
    ) -> None:
        self._listening = listening
        self._doorkeeper = doorkeeper
        self._serve = serve
        self._accepts = accepts
        self._secure = secure
        self._receipt_s = receipt_s
        self._max_connections = max_connections
        self._max_strangers = max_strangers
        self._num_connections = 0
        self._num_strangers = 0
        self._tasks = Background()

    def start(self) -> None:
        self._listening.setblocking(False)
        self._listening.listen(128)
        self._tasks.spawn(self._accept())

    async def close(self) -> None:
        await self._tasks.close()
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listening)
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno in CLOSED:
                    raise
                # Out of descriptors or memory: the connection that waits would wake this loop without end.
                await asyncio.sleep(RETRY_S)
                continue
            if self._num_strangers >= self._max_strangers or not self._accepts(sock):
                sock.close()
                continue
            # A task that is cancelled before its first step closes nothing.
            self._tasks.spawn(self._welcome(sock)).add_done_callback(partial(_close, sock))

    async def _welcome(self, sock: socket.socket) -> None:
        try:
            sock, welcome = await self._greet(sock)
            if welcome.status:
                return
            self._num_connections += 1
            try:
                await self._serve(sock, welcome)
            finally:
                self._num_connections -= 1
        except (OSError, TimeoutError, Disconnected):
            return
        finally:
            sock.close()

    async def _greet(self, sock: socket.socket) -> tuple[socket.socket, Welcome]:
        """Also the connection to go on with: the same one, or TLS over it. Closed when this raises."""
        self._num_strangers += 1
        try:
            async with asyncio.timeout(self._receipt_s):
                if self._secure is not None:
                    sock = await self._secure(sock)
                welcome = self._doorkeeper.admit(await receive(sock, HELLO.size))
                if not welcome.status and self._num_connections >= self._max_connections:
                    welcome = Welcome(Refusal.BUSY)
                if welcome.status:
                    await send_vector(sock, [memoryview(welcome.pack())], self._receipt_s)
                return sock, welcome
        except BaseException:
            sock.close()
            raise
        finally:
            self._num_strangers -= 1


def _close(sock: socket.socket, task: "asyncio.Task[None]") -> None:
    sock.close()
