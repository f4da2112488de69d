"""Measures what carries KV from a running fleet's prefill members to here, as a decode worker in this place would.

Run inside a decode container it says whether shared memory works between containers, and how fast. Takes no work from
the fleet: blocks are read as they are, and thrown away.
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from baton.cli.findings import Finding, Grade
from baton.client import Fleet, Member
from common.net.dial import Dial
from common.net.offers import Offer, ask_offers
from common.types.config import DoctorConfig
from common.types.errors import BatonError, PeerLost
from common.types.ids import Role, new_epoch
from common.types.keys import fleet_key
from kvtransfer.probe import NUM_SAMPLES
from kvtransfer.transports.contract import PoolBytes, TransportFailed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.table import BETWEEN_DEVICES, connect

SAMPLE_BYTES = 16 << 20
PATIENCE_S = 5.0
ADVICE = {
    "shm": "Memory is lent to processes of the same user on the same host in one network namespace: compare `place`",
    "tcp": "See that the address it advertises can be reached from here: --listen, --advertise, and the firewall",
}


async def check_fleet(config: DoctorConfig) -> AsyncIterator[Finding]:
    """A finding per prefill member and transport."""
    api_key = config.api_key or (fleet_key(config.cache_key) if config.cache_key else "")
    async with Fleet(config.fleet, api_key=api_key, fleet_tls=config.fleet_tls) as fleet:
        members = await fleet.members()
    lenders = [member for member in members if member.hello.role is Role.PREFILL]
    if not lenders:
        yield Finding("fleet", Grade.WEAK, "no prefill member has joined", "Start one, or look at `baton pool`")
    dial = Dial.of(config.cache_key, config.fleet_tls, Role.DECODE.value)
    for member in sorted(lenders, key=lambda each: each.hello.member):
        async for finding in _check_member(member, dial):
            yield finding


async def _check_member(member: Member, dial: Dial) -> AsyncIterator[Finding]:
    hello, epoch = member.hello, new_epoch()
    what = f"from {hello.member}"
    try:
        layout, offers = await ask_offers(hello.address, dial, epoch, PATIENCE_S)
    except (BatonError, PeerLost):
        advice = "See that its address can be reached from here; give --cache-key and --fleet-tls if the fleet has them"
        yield Finding(what, Grade.BAD, "it does not answer here", advice)
        return
    for offer in offers:
        name = f"{what} by {offer.transport}"
        if offer.transport in BETWEEN_DEVICES:
            yield Finding(name, Grade.GOOD, "between devices only: decode workers measure it themselves, see their log")
            continue
        own = _pool(hello.block_bytes, layout)
        yield await _check_offer(name, offer, Hello(hello.epoch, epoch, layout, own.block_bytes, offer.ticket), own)


async def _check_offer(what: str, offer: Offer, hello: Hello, own: PoolBytes) -> Finding:
    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            fetcher = await connect(offer.transport, offer.endpoint, hello, own, PATIENCE_S)
            try:
                speed = max([await fetcher.measure(own.num_blocks) for _ in range(NUM_SAMPLES)])
            finally:
                await fetcher.close()
    except TransportFailed as failure:
        return Finding(what, Grade.WEAK, failure.reason, ADVICE.get(offer.transport, ""))
    except TimeoutError:
        return Finding(what, Grade.WEAK, f"no answer within {2 * PATIENCE_S:g} s", ADVICE.get(offer.transport, ""))
    return Finding(what, Grade.GOOD, f"{speed / 1e9:.2f} GB/s verified, into this process")


def _pool(block_bytes: int, layout: str) -> PoolBytes:
    """Room for a sample, laid out as the lender's."""
    num_blocks = max(1, SAMPLE_BYTES // block_bytes)
    return PoolBytes(None, np.zeros((num_blocks, block_bytes), np.uint8), layout)
