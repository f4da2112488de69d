"""The prefill side of the hand-off measurement, a process of its own: `python -m loadtest.gpu.lender MODEL DEVICE KV`.

Reads prompts and writes what is ready, a line of JSON each; the bytes go over CUDA IPC.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from common.engine.limits import Limits
from common.engine.messages import BlocksReady, Drop, Event, FirstTokens, Sealed, Submit
from common.engine.tables import BlockTables
from common.models.decoder import Decoder
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from kvtransfer.pool import pool_of
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import CudaIpcLender
from loadtest.gpu.bench import BLOCK_TOKENS, Bench, set_up
from loadtest.gpu.models import SHAPES, draw_model
from prefill_worker.scheduler import PrefillScheduler

LENDER_EPOCH, FETCHER_EPOCH = 71, 99
MAX_TOKENS = 4096
NUM_BLOCKS = 2 * MAX_TOKENS // BLOCK_TOKENS


def load(model: str, device: torch.device, kv_dtype: str) -> Decoder:
    """A folder in float32, or one of the shapes with drawn weights."""
    if model in SHAPES:
        torch.manual_seed(1)
        return draw_model(model, device, kv_dtype)
    return Decoder.load(Path(model), "float32", device, kv_dtype=kv_dtype)


def pool_on_device(bench: Bench) -> DevicePool:
    pool = pool_of(bench.storage)
    if not isinstance(pool, DevicePool):
        raise TypeError("the pool is not on a device")
    return pool


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def serve(model: str, device: torch.device, kv_dtype: str) -> None:
    bench = set_up(load(model, device, kv_dtype), (1,), MAX_TOKENS, NUM_BLOCKS)
    lender = CudaIpcLender(pool_on_device(bench), LENDER_EPOCH)
    await lender.start()
    say(endpoint=lender.endpoint(), ticket=lender.ticket(FETCHER_EPOCH).hex())
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        await asyncio.to_thread(prefill, bench, asked["prompt"], asked["budget"])
    await lender.close()


def prefill(bench: Bench, prompt: list[int], budget: int) -> None:
    bench.stage.enter()
    tables = BlockTables.create(NUM_BLOCKS, BLOCK_TOKENS, b"k" * 32, "measured")
    scheduler = PrefillScheduler(Limits(budget, 2, MAX_TOKENS), tables, bench.storage.layout.fingerprint)
    attempt = Attempt(AttemptId("r", 1), tuple(prompt), len(prompt), (Choice(0),), Sampling(temperature=0.0))
    tell(scheduler.accept(Submit(attempt, lend=True), time.monotonic()))
    began = time.monotonic()
    while (plan := scheduler.plan(time.monotonic())) is not None:
        result = bench.runner.run(plan)
        computed = time.monotonic()
        tell(scheduler.commit(plan, result, computed))
    say(event="done", computed=computed, prefill_s=computed - began)
    scheduler.accept(Drop(attempt.id), time.monotonic())


def tell(events: tuple[Event, ...]) -> None:
    for event in events:
        match event:
            case BlocksReady(_, _, refs):
                say(event="ready", refs=[(ref.block, ref.generation, ref.checksum) for ref in refs])
            case FirstTokens(_, tokens):
                say(event="first", token=tokens[0].token_id)
            case Sealed():
                say(event="sealed")
            case _:
                pass


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], torch.device(sys.argv[2]), sys.argv[3]))
