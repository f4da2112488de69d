"""A worker's own `/metrics`, served by a thread of its own. Owns the port and the thread; asks anew at each scrape."""

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import start_http_server

from common.obs.exposition import Sample, registry
from common.types.errors import StartupError


class MetricsServer:
    """Listens from the first moment until `close`. `read` is called on its thread."""

    def __init__(self, host: str, port: int, read: Callable[[], Iterable[Sample]]) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, registry(read))
        except OSError as error:
            raise StartupError(
                f"metrics cannot be served on {host}:{port}", "Choose another --metrics address"
            ) from error
        self.port = int(self._server.server_port)

    async def close(self) -> None:
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)
