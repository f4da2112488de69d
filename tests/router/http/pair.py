"""A fleet of one fake prefill and one fake decode worker, and clients of its HTTP front."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from common.types.http import HttpLimits
from router.http.body_room import BodyRoom
from tests.router.rig import Rig, Worker, rig


class Pair:
    """Letters of the alphabet come out: with seed 0 `abcdef...`, each further choice three letters on."""

    def __init__(self, made: Rig, prefill: Worker, decode: Worker) -> None:
        self.rig, self.prefill, self.decode = made, prefill, decode
        self.address = made.router.http_address

    @property
    def room(self) -> BodyRoom:
        """What bodies take of the front's memory."""
        return self.rig.router._gateway._front.body_room

    @property
    def url(self) -> str:
        return f"http://{self.address}/v1"

    def client(self, timeout: float | None = None) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=timeout)

    def blocking_client(self) -> OpenAI:
        return OpenAI(base_url=self.url, api_key="none", max_retries=0)


@asynccontextmanager
async def pair(folder: Path, limits: HttpLimits = HttpLimits(), **changes: Any) -> AsyncIterator[Pair]:
    async with rig(folder, http_limits=limits, **changes) as made:
        yield Pair(made, await made.prefill(), await made.decode())
