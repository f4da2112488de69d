"""HTTP by hand, byte by byte: what no client library would send or show."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.router.script import PATIENCE_S


@dataclass(frozen=True)
class Head:
    """A status line and headers."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer(Head):
    """A whole reply."""

    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._left = 0

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: test"]
        if body is not None:
            headers = {"content_type": "application/json", "content_length": str(len(body)), **headers}
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        await self.writer.drain()

    async def post(self, path: str, **fields: Any) -> None:
        await self.send("POST", path, json.dumps(fields).encode())

    async def head(self) -> Head:
        async with asyncio.timeout(PATIENCE_S):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = text.strip().split("\r\n")
        return Head(int(first.split()[1]), dict(line.split(": ", 1) for line in rest))

    async def answer(self) -> Answer:
        """With a length, as every reply but a stream has."""
        head = await self.head()
        async with asyncio.timeout(PATIENCE_S):
            body = await self.reader.readexactly(int(head.headers["content-length"]))
        return Answer(head.status, head.headers, body)

    async def chunk(self) -> bytes:
        """The next piece of a stream; empty at its end."""
        async with asyncio.timeout(PATIENCE_S):
            num_bytes = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(num_bytes)
            await self.reader.readexactly(2)
        return data

    async def events(self) -> AsyncIterator[Any]:
        """Parsed events of a stream until it ends; `[DONE]` and comments as texts."""
        text = b""
        while piece := await self.chunk():
            text += piece
            *events, text = text.split(b"\n\n")
            for event in events:
                line = event.decode()
                data = line.removeprefix("data: ")
                yield json.loads(data) if data.startswith("{") else data
        assert not text

    async def closed(self) -> bool:
        """Whether the other side hung up."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read() == b""


@asynccontextmanager
async def connected(address: str, receive_bytes: int | None = None) -> AsyncIterator[Wire]:
    """The kernel holds at most so much that was not read, or what it likes."""
    host, port = address.rsplit(":", 1)
    own = socket.socket()
    if receive_bytes is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    own.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=own, limit=1 << 20)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def ask(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    async with connected(address) as wire:
        await wire.send(method, path, body, **headers)
        return await wire.answer()


async def post(address: str, path: str, **fields: Any) -> Answer:
    return await ask(address, "POST", path, json.dumps(fields).encode())


async def stream(address: str, path: str, **fields: Any) -> tuple[Head, list[Any]]:
    """A stream's head and all of its events."""
    async with connected(address) as wire:
        await wire.post(path, stream=True, **fields)
        head = await wire.head()
        return head, [event async for event in wire.events()]
