"""The loads of the comparison, each on a running server, and the samples they make, as they come.

What was measured before a load failed has been told by then. Knows no server by name.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from common.types.resolve import child_environment
from loadtest.peers.command import Failed, bench
from loadtest.peers.figures import decode_tokens_per_s, good_share, goodput, itl_ms, prefill_tokens_per_s
from loadtest.peers.journal import Sample
from loadtest.peers.server import Server

GOALS = "ttft:1000,tpot:60"
PROMPT, ANSWER = 512, 64
DECODE_PROMPT = 128
ANSWERS = {1: 160, 8: 192, 32: 256}
"""Long enough that all of a batch's requests decode together for a while, whatever the order of their prompts."""
STREAMS, STREAM_PROMPT = 4, 64
HEAD_START_S = 1.0
KEPT_UP, LAST_RATE = 0.9, 6.0
"""A side with so many of its requests good at the highest rate goes on to one more a second, no further than this."""
METRICS = ("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_itl_ms")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each load: the whole comparison, or a quick look."""

    turns: int = 3
    decode_rounds: Mapping[int, int] = field(default_factory=lambda: {1: 2, 8: 2, 32: 1})
    prompts: int = 4
    rates: tuple[float, ...] = (1.0, 2.0, 3.0)
    rate_s: float = 30.0
    stream_tokens: int = 500
    stream_rounds: int = 2
    arrival_rate: float = 1.5
    starts: int = 3
    vocab: int = 30_000


WHOLE = Sizes()
QUICK = Sizes(1, {1: 2, 8: 1, 32: 1}, 3, (2.0,), 15.0, 400, 1, 1.5, 1)


async def decoding(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    """Output tokens per second with 1, 8 and 32 requests decoding together."""
    await bench(
        server, 90.0, _plain(), requests=2, input_tokens=DECODE_PROMPT, output_tokens=8, warm_up=1,
        vocab_size=sizes.vocab, seed=_seed(turn, 1),
    )  # fmt: skip
    for batch, rounds in sizes.decode_rounds.items():
        for place in range(rounds):
            (found,) = await bench(
                server, 120.0, _plain(), concurrency=batch, requests=batch, input_tokens=DECODE_PROMPT,
                output_tokens=ANSWERS[batch], warm_up=0, vocab_size=sizes.vocab, seed=_seed(turn, 100 * batch + place),
            )  # fmt: skip
            yield Sample(f"decode B={batch} served", side, turn, decode_tokens_per_s(found), "tokens/s")


async def prefilling(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    """Prompt tokens per second of one prompt at a time."""
    for length in (512, 2048):
        (found,) = await bench(
            server, 90.0, _plain(), concurrency=1, requests=sizes.prompts, input_tokens=length, output_tokens=1,
            warm_up=2, vocab_size=sizes.vocab, seed=_seed(turn, length),
        )  # fmt: skip
        yield Sample(f"prefill {length} served", side, turn, prefill_tokens_per_s(found), "tokens/s")


async def keeping_goals(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    """Requests per second that kept the goals, at each rate of Poisson arrivals, and the best of them."""
    rates, best, warm_up = deque(sizes.rates), 0.0, 3
    try:
        while rates:
            rate = rates.popleft()
            (found,) = await bench(
                server, 60 + 6 * sizes.rate_s, _plain(), rate=f"{rate:g}", duration_s=sizes.rate_s,
                input_tokens=PROMPT, output_tokens=ANSWER, goodput=GOALS, warm_up=warm_up, vocab_size=sizes.vocab,
                seed=_seed(turn, 5000 + round(100 * rate)),
            )  # fmt: skip
            warm_up = 0
            best = max(best, goodput(found))
            yield Sample(f"goodput at {rate:g}/s", side, turn, goodput(found), "requests/s")
            for metric in METRICS:
                yield Sample(f"{metric} at {rate:g}/s", side, turn, float(found[metric]), "ms")
            if not rates and good_share(found) >= KEPT_UP and rate + 1 <= LAST_RATE:
                rates.append(rate + 1)
    except Failed:
        if best:
            yield Sample("best goodput", side, turn, best, "requests/s")
        raise
    yield Sample("best goodput", side, turn, best, "requests/s")


async def undisturbed(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    """Pauses of running streams while other prompts arrive, over their pauses while none does."""
    for place in range(sizes.stream_rounds):
        async for sample in _undisturbed(server, side, turn, place, sizes):
            yield sample


async def _undisturbed(server: Server, side: str, turn: int, place: int, sizes: Sizes) -> AsyncIterator[Sample]:
    front = "HTTP" if "://" in server.target else "gRPC"
    idle = await _streams(server, sizes, _seed(turn, 6000 + place))
    yield Sample(f"ITL idle p50, {front}", side, turn, idle, "ms")
    arrival_s = sizes.stream_tokens * max(idle, 5.0) / 1000 * 4 + 2 * HEAD_START_S
    others = asyncio.create_task(
        bench(
            server, arrival_s + 90, _plain(), rate=sizes.arrival_rate, duration_s=arrival_s, input_tokens=PROMPT,
            output_tokens=8, warm_up=0, vocab_size=sizes.vocab, seed=_seed(turn, 8000 + place),
        )
    )  # fmt: skip
    try:
        await asyncio.sleep(HEAD_START_S)
        busy = await _streams(server, sizes, _seed(turn, 7000 + place), share=99.0)
        covered = not others.done()
    finally:
        others.cancel()
        await asyncio.wait([others])
    if not covered:
        raise ValueError("prompts had ceased to arrive before the streams ended")
    yield Sample(f"ITL busy p99, {front}", side, turn, busy, "ms")
    yield Sample(f"ITL busy / idle, {front}", side, turn, busy / idle, "")


async def _streams(server: Server, sizes: Sizes, seed: int, share: float = 50.0) -> float:
    (found,) = await bench(
        server, 240.0, _plain(), concurrency=STREAMS, requests=STREAMS, input_tokens=STREAM_PROMPT,
        output_tokens=sizes.stream_tokens, warm_up=0, vocab_size=sizes.vocab, seed=seed,
    )  # fmt: skip
    return itl_ms(found, share)


def _plain() -> dict[str, str]:
    return child_environment([], {"GRPC_VERBOSITY": "ERROR"})


def _seed(turn: int, case: int) -> int:
    """No two loads of a turn share a prompt; both sides of a turn get the same ones."""
    return 100_000 * turn + case
