"""What of a served decode step passes outside kernels, as the router's `/metrics` tell it (row C5).

A fleet as `baton up` starts it, one stream that decodes. The engine's thread shares its process with the loop that
carries its results, and its core with whoever the machine lets run there: all that is in the figure.
"""

import asyncio
import re
import statistics
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.fleet import running_fleet
from loadtest.micro._rows import Measured
from loadtest.peers.server import free_address
from loadtest.shapes import random_model

MODELS = Path(".baton/shapes")
NUM_ROUNDS, NUM_TOKENS = 5, 200
REPORTED_S = 2.5
"""A member tells its router every second what it has done."""
SERIES = re.compile(r"baton_member_(steps_total|step_seconds_total)\{([^}]*)\} (\S+)")


@dataclass(frozen=True, slots=True)
class Steps:
    """Of the decode member, since it started."""

    count: float
    kernel_s: float
    outside_s: float


def run(shape: str = "135m") -> list[Measured]:
    """Prints one line."""
    rounds = asyncio.run(_measure(shape))
    shares = tuple(100 * each.outside_s / (each.kernel_s + each.outside_s) for each in rounds)
    outside = tuple(1e3 * each.outside_s / each.count for each in rounds)
    middles = statistics.median(outside), statistics.median(shares)
    print(f"one stream served, {shape}: outside kernels {middles[0]:.3f} ms of a step, {middles[1]:.1f} %")
    what = f"of a step outside kernels, one stream served, by /metrics, {shape}"
    return [
        Measured("C5", f"share {what}", shares, "%", 5, 2, most=True),
        Measured("C5", f"time {what}", outside, "ms", 0.3, most=True),
    ]


async def _measure(shape: str) -> list[Steps]:
    http = free_address()
    found = []
    flags = ("--kv-memory=512MiB", f"--http={http}")
    async with running_fleet(random_model(shape, MODELS), *flags, MODE="handoff") as client:
        for number in range(NUM_ROUNDS + 1):
            prompt = [2 + (number * 131 + 7 * place) % 4000 for place in range(64)]
            before = await _told(http)
            await client.complete(prompt, temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True)
            await asyncio.sleep(REPORTED_S)
            after = await _told(http)
            found.append(
                Steps(after.count - before.count, after.kernel_s - before.kernel_s, after.outside_s - before.outside_s)
            )
    return found[1:]  # the first one warms up


async def _told(http: str) -> Steps:
    def fetch() -> str:
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return steps(await asyncio.to_thread(fetch))


def steps(text: str) -> Steps:
    """The decode member's totals in a scrape."""
    found: Mapping[str, float] = {
        ("steps" if name == "steps_total" else "kernels" if 'where="kernels"' in labels else "outside"): float(value)
        for name, labels, value in SERIES.findall(text)
        if 'role="decode"' in labels
    }
    return Steps(found["steps"], found["kernels"], found["outside"])
