"""Unix sockets that only processes of one user on one host reach: where one listens, how the other calls.

A socket is abstract unless a folder is given: it has no name anyone could guess, and nothing is left behind even by a
killed process.
"""

import asyncio
import os
import secrets
import shutil
import socket
import struct
import tempfile

from common.types.errors import StartupError

CREDENTIALS = struct.Struct("3i")


class UnixDoor:
    """One listening socket's name, and the folder it lies in if it has one."""

    def __init__(self, runtime_dir: str | None = None) -> None:
        self._runtime_dir = runtime_dir
        self._folder = ""
        self.endpoint = ""

    def open(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(self._address())
        except OSError as error:
            listening.close()
            self.close()
            raise StartupError(
                f"a unix socket for processes of this host cannot be made: {error.strerror}",
                "Give a shorter runtime folder that this user may write to",
            ) from error
        return listening

    def close(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder)
            self._folder = ""

    def _address(self) -> str:
        if self._runtime_dir is None:
            name = f"baton-{secrets.token_hex(16)}"
            self.endpoint = f"unix-abstract:{name}"
            return f"\0{name}"
        self._folder = tempfile.mkdtemp(prefix="baton-", dir=self._runtime_dir)
        self.endpoint = f"unix:{self._folder}/kv"
        return f"{self._folder}/kv"


class NotReached(Exception):
    """Nobody listens there, or somebody else does. The text is fixed."""


async def reach(sock: socket.socket, endpoint: str) -> None:
    """Connects to a `UnixDoor` of the same user; raises `NotReached` or what the socket says."""
    kind, _, name = endpoint.partition(":")
    if kind not in ("unix", "unix-abstract") or not name:
        raise NotReached("an unknown kind of address")
    await asyncio.get_running_loop().sock_connect(sock, name if kind == "unix" else f"\0{name}")
    if not same_user(sock):
        raise NotReached("the other end runs as another user")


def same_user(sock: socket.socket) -> bool:
    """Whether the kernel says that the process at the other end runs as this user."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(credentials)
    return bool(uid == os.geteuid())
