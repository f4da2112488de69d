"""`baton bench`: puts load on a running server and tells what it made of it. What is measured is loadtest/bench's."""

import asyncio
import re
from collections.abc import Sequence

from rich.console import Console

from common.types.config_bench import BenchConfig
from common.types.resolve import load
from loadtest.bench.bench import Bench
from loadtest.bench.goodput import METRICS

# by the keys' own names, so that `localhost:50051` after a limit stays the target
LIMIT = re.compile(rf"(?:{'|'.join((*METRICS, 'itl'))}):[0-9.]+")


def run(argv: Sequence[str]) -> int:
    config = load(BenchConfig, "baton bench", joined(argv))
    return asyncio.run(_run(config))


async def _run(config: BenchConfig) -> int:
    return await Bench(config, Console()).run()


def joined(argv: Sequence[str]) -> list[str]:
    """`--goodput ttft:1000 tpot:60`, as other benches take it, in the one text that an option is here."""
    joined: list[str] = []
    inside = False
    for argument in argv:
        if inside and LIMIT.fullmatch(argument):
            joined[-1] += ("," if joined[-1] != "--goodput" else "=") + argument
            continue
        inside = argument == "--goodput" or argument.startswith("--goodput=")
        joined.append(argument)
    return joined
