"""Waiting on raw non-blocking sockets, the same under asyncio and uvloop, and the settings bulk copies need.

Owns no protocol. Every wait is bounded by the caller with `asyncio.timeout`.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

BUFFER_BYTES = 4 << 20
MAX_VECTOR = 512


class Disconnected(Exception):
    """The other side closed the connection."""


async def readable(sock: socket.socket) -> None:
    """Returns once there is something to read; a TLS connection may have it decrypted already."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return
    loop = asyncio.get_running_loop()
    await _ready(sock, loop.add_reader, loop.remove_reader)


async def writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await _ready(sock, loop.add_writer, loop.remove_writer)


async def receive(sock: socket.socket, num_bytes: int) -> bytes:
    """Exactly so many bytes; raises `Disconnected` when the stream ends before."""
    loop = asyncio.get_running_loop()
    data = bytearray(num_bytes)
    view = memoryview(data)
    while view:
        if isinstance(sock, ssl.SSLSocket):
            count = await _decrypted(sock, view)
        else:
            count = await loop.sock_recv_into(sock, view)
        if not count:
            raise Disconnected
        view = view[count:]
    return bytes(data)


async def send_vector(sock: socket.socket, parts: Sequence[memoryview], stall_s: float) -> None:
    """All parts, gathered by the kernel from where they lie. Gives up when nothing could be sent for `stall_s`.

    It waits for room before each call, so that a fast reader cannot keep the loop from its other work.
    """
    parts = list(parts)
    first = 0
    while first < len(parts):
        async with asyncio.timeout(stall_s):
            await writable(sock)
        try:
            if isinstance(sock, ssl.SSLSocket):
                count = sock.send(parts[first])
            else:
                count = sock.sendmsg(parts[first : first + MAX_VECTOR])
        except (BlockingIOError, ssl.SSLWantWriteError):
            continue
        except ssl.SSLWantReadError:
            await readable(sock)
            continue
        while first < len(parts) and count >= len(parts[first]):
            count -= len(parts[first])
            first += 1
        if count:
            parts[first] = parts[first][count:]


async def _decrypted(sock: ssl.SSLSocket, view: memoryview) -> int:
    while True:
        try:
            return sock.recv_into(view)
        except ssl.SSLWantReadError:
            await readable(sock)
        except ssl.SSLWantWriteError:
            await writable(sock)


def tune(sock: socket.socket) -> None:
    """For a TCP connection or listener that carries blocks: no delay, room for several blocks, dead peers found."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    for option, limit in ((socket.SO_SNDBUF, "wmem_max"), (socket.SO_RCVBUF, "rmem_max")):
        if _allowed(limit) >= BUFFER_BYTES // 4:
            # A small fixed buffer is worse than the kernel's own tuning, which setting one switches off.
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)


def _allowed(limit: str) -> int:
    try:
        with open(f"/proc/sys/net/core/{limit}", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0


async def _ready(
    sock: socket.socket,
    add: Callable[[socket.socket, Callable[[], None]], object],
    remove: Callable[[socket.socket], object],
) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock, wake)
    try:
        await ready
    finally:
        remove(sock)
