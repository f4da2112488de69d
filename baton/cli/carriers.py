"""Measures on this machine what carries KV between two workers: a lender and a fetcher of each transport, in here."""

import asyncio
from contextlib import AsyncExitStack

from baton.cli.findings import Carried
from common.cache.storage import KVStorage
from common.types.config import HOST_TRANSPORTS
from common.types.errors import StartupError
from common.types.ids import new_epoch
from common.types.kv import KVLayout
from kvtransfer.probe import NUM_SAMPLES, copy_bytes_per_s
from kvtransfer.transports.contract import PoolBytes, TransportFailed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.table import connect, lending_transports

BLOCK = KVLayout("doctor", num_layers=16, num_kv_heads=4, block_tokens=16, head_dim=64, dtype="bfloat16")
PATIENCE_S = 20.0


def measure_carriers(num_bytes: int) -> tuple[tuple[Carried, ...], float]:
    """Every transport's speed, and that of a plain copy in memory, one thread each."""
    num_blocks = max(1, num_bytes // BLOCK.block_bytes)
    return asyncio.run(_measure_all(num_blocks)), copy_bytes_per_s(num_blocks * BLOCK.block_bytes)


async def _measure_all(num_blocks: int) -> tuple[Carried, ...]:
    results = []
    for name in HOST_TRANSPORTS:
        try:
            async with asyncio.timeout(PATIENCE_S):
                results.append(Carried(name, await _measure(name, num_blocks)))
        except TransportFailed as failure:
            results.append(Carried(name, failure=failure.reason))
        except StartupError as error:
            results.append(Carried(name, failure=error.cause))
        except TimeoutError:
            results.append(Carried(name, failure=f"it did not finish within {PATIENCE_S:g} s"))
    return tuple(results)


async def _measure(name: str, num_blocks: int) -> float:
    lender_epoch, fetcher_epoch = new_epoch(), new_epoch()
    async with AsyncExitStack() as stack:
        lent, own = KVStorage(BLOCK, num_blocks), KVStorage(BLOCK, num_blocks)
        stack.callback(lent.close)
        stack.callback(own.close)
        offered = lending_transports((name,), _pool(lent), lender_epoch, lambda attempt, block, generation: True)
        if not offered:
            raise TransportFailed("the pool is not shared memory here")
        (lender,) = offered
        stack.push_async_callback(lender.close)
        await lender.start()
        ticket = lender.ticket(fetcher_epoch)
        hello = Hello(lender_epoch, fetcher_epoch, BLOCK.fingerprint, BLOCK.block_bytes, ticket)
        fetcher = await connect(name, lender.endpoint(), hello, _pool(own), PATIENCE_S)
        stack.push_async_callback(fetcher.close)
        return max([await fetcher.measure(num_blocks) for _ in range(NUM_SAMPLES)])


def _pool(storage: KVStorage) -> PoolBytes:
    if storage.bytes is None:
        raise StartupError("the KV pool is not in this machine's memory", "")
    return PoolBytes(storage.fd, storage.bytes, BLOCK.fingerprint)
