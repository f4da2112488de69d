"""An OpenAI-compatible server over HTTP/1.1, lean: one protocol object per connection, times taken where bytes come in.

Owns its connections: each carries one request at a time and is used again when the server lets it.
"""

import asyncio
import json
import ssl
import time
from urllib.parse import urlsplit

from common.types.errors import Unavailable
from common.types.options import ConfigError
from loadtest.bench.http_connection import Connection, Lost, OnBody
from loadtest.bench.http_wire import Malformed
from loadtest.bench.openai_stream import BadStream, EventLines, said
from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Asking, Served

ASK_S = 20.0
PATHS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}
JSON = "application/json"


class HttpTarget:
    """`url` may end in /v1 or name the endpoint itself; made inside a running event loop."""

    def __init__(self, url: str, api: str, asking: Asking) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The target {url!r} is no URL", "Write it as http://HOST:PORT")
        self.backend = "openai-chat" if api == "chat" else "openai"
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        root = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions").removesuffix("/v1")
        self._models_path, self._path = f"{root}/v1/models", root + PATHS[api]
        self._api, self._asking = api, asking
        self._name = f"{self._host}:{self._port}"
        self._idle: list[Connection] = []

    async def served(self) -> Served:
        """The first model in the server's list, unless one was named."""
        if self._asking.model_id:
            return Served(self._asking.model_id)
        body = bytearray()
        try:
            async with asyncio.timeout(ASK_S):
                status = await self._ask(self._head("GET", self._models_path, 0), body.extend)
            models = json.loads(bytes(body))["data"] if status == 200 else []
            return Served(str(models[0]["id"]), ready=models[0].get("ready") is not False)
        except (OSError, Lost, Malformed, TimeoutError) as error:
            raise Unavailable(f"{self._name} does not answer", "served") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            fix = "Name the model: --model-id"
            raise ConfigError(f"{self._name} has no list of models at {self._models_path}", fix) from error

    async def send(self, planned: Planned, record: Record) -> None:
        body = json.dumps(self._body(planned)).encode()
        request = self._head("POST", self._path, len(body)) + body
        reading = _Reading(record, self._asking.texts)
        record.start_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._asking.deadline_s):
                status = await self._ask(request, reading.feed)
            if status != 200:
                record.error = f"HTTP {status}"
            elif not record.error and not record.arrivals:
                record.error = "no token came"
        except TimeoutError:
            record.error = "deadline passed"
        except OSError:
            record.error = "cannot connect"
        except Lost:
            record.error = "connection lost"
        except (Malformed, BadStream):
            record.error = "malformed answer"
        except asyncio.CancelledError:
            record.error = "interrupted"
            raise
        finally:
            record.end_s = time.perf_counter()
            record.num_output = record.num_output or len(record.arrivals)

    async def _ask(self, request: bytes, on_body: OnBody) -> int:
        """The answer's status once all of it came. A kept connection may have been closed meanwhile: then a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                try:
                    return await self._exchange(connection, request, on_body)
                except Lost as lost:
                    if lost.begun:
                        raise
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        return await self._exchange(connection, request, on_body)

    async def _exchange(self, connection: Connection, request: bytes, on_body: OnBody) -> int:
        try:
            status, reusable = await connection.exchange(request, on_body)
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return status

    def _head(self, method: str, path: str, length: int) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._name}",
            f"Content-Type: {JSON}",
            f"Content-Length: {length}",
        ]
        if self._asking.api_key:
            lines.append(f"Authorization: Bearer {self._asking.api_key}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _body(self, planned: Planned) -> dict[str, object]:
        asking = self._asking
        prompt = planned.prompt
        body: dict[str, object] = {
            "model": asking.model_id,
            "max_tokens": planned.num_output,
            "temperature": asking.temperature,
            "seed": asking.seed,
            "ignore_eos": asking.ignore_eos,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._api == "chat":
            return body | {"messages": [{"role": "user", "content": prompt}]}
        return body | {"prompt": prompt}

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class _Reading:
    """Notes in a record what a stream says, with one look at the clock per arrival of bytes."""

    def __init__(self, record: Record, texts: bool) -> None:
        self._record, self._texts = record, texts
        self._lines = EventLines()

    def feed(self, data: bytes) -> None:
        now = time.perf_counter()
        record = self._record
        for line in self._lines.feed(data):
            event = said(line)
            last = record.arrivals[-1] if record.arrivals else None
            if event.brings_tokens or (event.only_ends and last != now):
                record.arrivals.append(now)
            if event.num_output:
                record.num_output = event.num_output
                record.num_input = event.num_input or record.num_input
            if event.error:
                record.error = event.error
            if self._texts:
                record.text += event.text
