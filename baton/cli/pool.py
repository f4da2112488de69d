"""`baton pool`: the members of a fleet, listed; one of them drained or resumed."""

import asyncio
from collections.abc import Sequence

from baton.cli.table import table
from baton.client import Fleet, Member
from common.types.config import PoolConfig
from common.types.options import ConfigError
from common.types.resolve import load

HEAD = ("member", "role", "state", "attempts", "running", "waiting", "blocks free", "cached", "heard of", "address")


def run(argv: Sequence[str]) -> int:
    config = load(PoolConfig, "baton pool", argv)
    if config.action != "list" and not config.member:
        raise ConfigError(f"There is no member to {config.action}", f"Say which: baton pool {config.action} NAME")
    asyncio.run(_act(config))
    return 0


async def _act(config: PoolConfig) -> None:
    async with Fleet(
        config.fleet, api_key=config.api_key, fleet_tls=config.fleet_tls, deadline_s=config.deadline_s
    ) as fleet:
        if config.action == "drain":
            await fleet.drain(config.member, leave=config.leave)
            print(f"{config.member} takes nothing new" + (" and leaves once it holds nothing" if config.leave else ""))
        elif config.action == "resume":
            await fleet.resume(config.member)
            print(f"{config.member} takes work again")
        else:
            members = sorted(await fleet.members(), key=lambda member: (member.hello.role.value, member.hello.member))
            print(table(HEAD, [row(member) for member in members]) if members else "no member has joined")


def row(member: Member) -> tuple[str, ...]:
    """A member's line of the table."""
    hello, load = member.hello, member.load
    return (
        hello.member,
        hello.role.value,
        state(member),
        str(member.num_attempts),
        str(load.num_running),
        str(load.num_waiting),
        f"{load.num_free_blocks}/{hello.num_blocks}",
        str(load.num_cached_blocks),
        f"{member.silence_ms} ms ago",
        hello.address,
    )


def state(member: Member) -> str:
    if member.load.drained:
        return "drained"
    return "draining" if member.draining or member.load.draining else "up"
