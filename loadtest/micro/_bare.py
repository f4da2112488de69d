"""Servers that do nothing but stream the messages a router streams, on a beat: the floor under a router's own cost.

`python -m loadtest.micro._bare grpc|http PORT BEAT_MS`. What is sent was made beforehand; each message is a write.
"""

import asyncio
import json
import socket
import sys
from functools import partial
from typing import Any

import uvicorn
import uvloop

from baton.v1 import inference_pb2, inference_pb2_grpc
from common.net.server import make_server

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ACCEPTED = inference_pb2.GenerateResponse(
    accepted=inference_pb2.Accepted(request_id="r-1", model="m", num_prompt_tokens=3)
)
DONE = inference_pb2.GenerateResponse(done=inference_pb2.Done())
MESSAGES = [
    inference_pb2.GenerateResponse(delta=inference_pb2.Delta(choice=0, text=letter, token_ids=[64 + place]))
    for place, letter in enumerate(LETTERS)
]


class Beat:
    """Wakes every stream at once, as a worker's step does."""

    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._next = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._beat_s, loop.time())
            await asyncio.sleep(due - loop.time())
            self._next.set()
            self._next = asyncio.Event()

    async def wait(self) -> None:
        await self._next.wait()


class Inference(inference_pb2_grpc.InferenceServicer):
    """The client sees what a router would send."""

    def __init__(self, beat: Beat) -> None:
        self._beat = beat

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Any) -> None:  # noqa: N802 the wire's name
        await context.write(ACCEPTED)
        for index in range(request.max_tokens):
            await self._beat.wait()
            await context.write(MESSAGES[index % len(MESSAGES)])
        await context.write(DONE)

    async def ListModels(self, request: inference_pb2.ListModelsRequest, context: Any) -> Any:  # noqa: N802
        return inference_pb2.ListModelsResponse(models=[inference_pb2.Model(id="m", vocab_size=500, ready=True)])


def events() -> list[bytes]:
    """One for each letter, byte for byte of the length a router's has."""
    made = []
    for letter in LETTERS:
        choice = {"index": 0, "text": letter, "logprobs": None, "finish_reason": None}
        chunk = {
            "id": "cmpl-" + 20 * "0",
            "object": "text_completion",
            "created": 1_700_000_000,
            "model": "tiny-bfloat16",
            "system_fingerprint": "fp_" + 12 * "0",
            "choices": [choice],
            "usage": None,
        }
        made.append(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")
    return made


async def serve_http(port: int, beat: Beat) -> None:
    """One raw application: reads the body, then writes events."""
    made = events()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        wanted = json.loads(body + message.get("body", b"") or b"{}").get("max_tokens", 0)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for index in range(wanted):
            await beat.wait()
            await send({"type": "http.response.body", "body": made[index % len(made)], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    config = uvicorn.Config(application, lifespan="off", log_config=None, access_log=False, interface="asgi3")
    await uvicorn.Server(config).serve([listener])


async def serve_grpc(port: int, beat: Beat) -> None:
    server = make_server([partial(inference_pb2_grpc.add_InferenceServicer_to_server, Inference(beat))])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def serve(kind: str, port: int, beat_s: float) -> None:
    beat = Beat(beat_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(beat.run())
        tasks.create_task((serve_grpc if kind == "grpc" else serve_http)(port, beat))


if __name__ == "__main__":
    if sys.argv[1] not in ("grpc", "http"):
        sys.exit("say grpc or http")
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000))
