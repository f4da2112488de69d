"""An HTTP server on a free port that answers from a script, byte by byte as told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Step = bytes | asyncio.Event | None


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def token(text: str, finish: str | None = None) -> bytes:
    event = {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}
    return chunk(b"data: " + json.dumps(event).encode() + b"\n\n")


def usage(num_input: int, num_output: int) -> bytes:
    event = {"choices": [], "usage": {"prompt_tokens": num_input, "completion_tokens": num_output}}
    return chunk(b"data: " + json.dumps(event).encode() + b"\n\n")


END = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def whole(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class ScriptedHttp:
    """Every request gets the next script: bytes are written, events awaited, None closes the connection."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.heads: list[str] = []
        self.num_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while head := await _head(reader):
                self.heads.append(head)
                length = int(head.lower().partition("content-length:")[2].split("\r\n")[0] or 0)
                body = await reader.readexactly(length)
                self.requests.append((head.split(" ")[1], json.loads(body) if body else {}))
                for step in self.scripts.pop(0):
                    if step is None:
                        return
                    if isinstance(step, asyncio.Event):
                        await step.wait()
                    else:
                        writer.write(step)
                        await writer.drain()
        except ConnectionError:
            pass  # the client left
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@asynccontextmanager
async def serving_http(server: ScriptedHttp) -> AsyncIterator[str]:
    """The URL of the server."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        listening.close()
