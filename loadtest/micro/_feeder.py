"""A decode worker without a model: the real service and session of one, fed with a token per stream on a beat.

`python -m loadtest.micro._feeder FLEET MODEL BEAT_MS`: joins the router at FLEET under the key in its configuration.
"""

import asyncio
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from baton.v1.decode_pb2_grpc import add_DecodeServicer_to_server
from common.models.fingerprint import model_fingerprint
from common.net.dial import Dial
from common.net.join import Membership, Orders
from common.net.near_entry import NearEntry
from common.net.server import bind, make_server
from common.types.attempt import Attempt
from common.types.config import WorkerConfig
from common.types.hashing import key_id
from common.types.ids import PROTOCOL_MAJOR, AttemptId, Role, new_epoch
from common.types.member import Hello, Load
from common.types.resolve import load
from common.types.sampling import FinishReason, SampledToken
from common.types.timeouts import Timeouts
from decode_worker.service_decode import DecodeService
from decode_worker.session import JoinedBatch, RouterSession

FIRST_LETTER, NUM_LETTERS = 64, 26
NUM_BLOCKS, BLOCK_TOKENS = 1 << 16, 16


@dataclass(slots=True)
class Stream:
    """An attempt that is being answered."""

    session: RouterSession
    name: int
    attempt: Attempt
    index: int


class Feeding:
    """Stands where a worker's decoding does; every attempt joins at once."""

    def __init__(self) -> None:
        self._streams: dict[AttemptId, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, session: RouterSession) -> None:
        """Nothing is owned per session."""

    def close(self, session: RouterSession) -> None:
        for id in list(session.streams.values()):
            self.cancel(id)

    def meet(self, sources: tuple[object, ...]) -> None:
        """Nothing is fetched here."""

    def attach(self, session: RouterSession, name: int, attempt: Attempt, source: object, remaining_s: float) -> None:
        session.streams[name] = attempt.id
        self._streams[attempt.id] = Stream(session, name, attempt, attempt.next_index)
        session.send(JoinedBatch(name, 0, 0, "", 0.0, 0.0))

    def cancel(self, id: AttemptId, choices: tuple[int, ...] = ()) -> None:
        stream = self._streams.pop(id, None)
        if stream is not None:
            stream.session.streams.pop(stream.name, None)

    def beat(self) -> None:
        """One step: a token for each stream, one frame for each router."""
        sessions = set()
        for stream in list(self._streams.values()):
            ends = stream.index + 1 >= stream.attempt.sampling.max_tokens
            finish = FinishReason.LENGTH if ends else None
            token = SampledToken(0, stream.index, FIRST_LETTER + stream.index % NUM_LETTERS, None, finish)
            stream.session.send_row(stream.name, token)
            stream.index += 1
            sessions.add(stream.session)
            if ends:
                self.cancel(stream.attempt.id)
        for session in sessions:
            session.flush()


async def beating(feeding: Feeding, beat_s: float) -> None:
    """On the beat, whatever a beat takes."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + beat_s, loop.time())
        await asyncio.sleep(due - loop.time())
        feeding.beat()


async def serve(fleet: str, folder: Path, beat_s: float) -> None:
    config = load(WorkerConfig, "feeder", [f"--model={folder}"])
    epoch, feeding = new_epoch(), Feeding()
    entry = NearEntry()
    await entry.start()
    service: Any = DecodeService(feeding, epoch, Timeouts(), entry)  # type: ignore[arg-type]
    server = make_server([partial(add_DecodeServicer_to_server, service)])
    port = bind(server, "127.0.0.1:0")
    await server.start()
    hello = Hello(
        member="feeder", role=Role.DECODE, address=f"127.0.0.1:{port}", epoch=epoch, model=folder.name,
        model_fingerprint=model_fingerprint(folder), layout="none", protocol=PROTOCOL_MAJOR,
        block_tokens=BLOCK_TOKENS, block_bytes=4096, num_blocks=NUM_BLOCKS, max_sequences=256,
        max_model_tokens=1 << 16, transports=("shm",), cache_key_id=key_id(config.cache_key.encode()),
    )  # fmt: skip
    orders = Orders(on_drain=lambda leave: None, on_resume=lambda: None, on_lost=lambda epoch: None)
    report = Load(num_free_blocks=NUM_BLOCKS)
    dial = Dial.of(config.cache_key, "", Role.DECODE.value)
    membership = Membership(fleet, hello, lambda first: report, orders, Timeouts(), dial)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(membership.run())
        tasks.create_task(beating(feeding, beat_s))


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) / 1000))
