"""Listens for HTTP: uvicorn on the loop that is running, without signals, logs or lifetimes of its own."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from common.net.server import check_exposed, split_address, try_address
from common.types.config import RouterConfig
from common.types.errors import StartupError
from router.doors import Door
from router.http.protocol import connection_class

BACKLOG = 2048
SEND_BUFFER_BYTES = 256 << 10
"""Of each connection, in the kernel: a reader that stalls is noticed after this much, not after megabytes."""


class _Server(uvicorn.Server):
    """Signals belong to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Made by `open`; serves until `stop`."""

    def __init__(self, server: _Server, listener: socket.socket, serving: "asyncio.Task[None]") -> None:
        self._server, self._serving = server, serving
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @classmethod
    async def open(cls, app: ASGIApp, config: RouterConfig, door: Door, grace_s: float) -> "HttpServer":
        """Raises StartupError when the address cannot be had. Connections are taken from now on."""
        check_exposed(config.http, expose=door.expose)
        tls = None if door.tls is None else door.tls.server_context()
        try_address(config.http)
        listener = _listen(config.http)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what clients do wrong is told to them
        settings = uvicorn.Config(
            app,
            http=connection_class(config.http_limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=round(config.http_limits.idle_s),
            timeout_graceful_shutdown=max(1, round(grace_s)),
            backlog=BACKLOG,
            ssl_context_factory=None if tls is None else lambda config, make: tls,
        )
        server = _Server(settings)
        return cls(server, listener, asyncio.get_running_loop().create_task(server.serve([listener])))

    async def stop(self) -> None:
        """Connections still busy get a last moment; then they are cut."""
        self._server.should_exit = True
        await self._serving


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(where)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StartupError(f"cannot listen on {address}", "Choose another address") from error
    return listener
