"""The loads of the comparison, each on a running server, and the samples they make. Knows no server by name."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.types.resolve import child_environment
from loadtest.peers.command import bench
from loadtest.peers.figures import decode_tokens_per_s, goodput, itl_ms, prefill_tokens_per_s
from loadtest.peers.journal import Sample
from loadtest.peers.server import Server

GOALS = "ttft:1000,tpot:60"
PROMPT, ANSWER = 512, 64
DECODE_PROMPT = 128
ANSWERS = {1: 160, 8: 192, 32: 256}
"""Long enough that all of a batch's requests decode together for a while, whatever the order of their prompts."""
STREAMS, STREAM_PROMPT = 4, 64
HEAD_START_S = 1.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each load: the whole comparison, or a quick look."""

    turns: int = 2
    decode_rounds: Mapping[int, int] = field(default_factory=lambda: {1: 2, 8: 2, 32: 1})
    prompts: int = 4
    rates: tuple[int, ...] = (1, 2, 3)
    rate_s: float = 20.0
    stream_tokens: int = 500
    arrival_rate: float = 1.5
    starts: int = 3
    vocab: int = 30_000


WHOLE = Sizes()
QUICK = Sizes(1, {1: 2, 8: 1, 32: 1}, 3, (2,), 15.0, 400, 1.5, 1)


async def decoding(server: Server, side: str, turn: int, sizes: Sizes) -> list[Sample]:
    """Output tokens per second with 1, 8 and 32 requests decoding together."""
    await bench(
        server, 90.0, _plain(), requests=2, input_tokens=DECODE_PROMPT, output_tokens=8, warm_up=1,
        vocab_size=sizes.vocab, seed=_seed(turn, 1),
    )  # fmt: skip
    samples = []
    for batch, rounds in sizes.decode_rounds.items():
        for place in range(rounds):
            (found,) = await bench(
                server, 90.0, _plain(), concurrency=batch, requests=batch, input_tokens=DECODE_PROMPT,
                output_tokens=ANSWERS[batch], warm_up=0, vocab_size=sizes.vocab, seed=_seed(turn, 100 * batch + place),
            )  # fmt: skip
            samples.append(Sample(f"decode B={batch} served", side, turn, decode_tokens_per_s(found), "tokens/s"))
    return samples


async def prefilling(server: Server, side: str, turn: int, sizes: Sizes) -> list[Sample]:
    """Prompt tokens per second of one prompt at a time."""
    samples = []
    for length in (512, 2048):
        (found,) = await bench(
            server, 90.0, _plain(), concurrency=1, requests=sizes.prompts, input_tokens=length, output_tokens=1,
            warm_up=2, vocab_size=sizes.vocab, seed=_seed(turn, length),
        )  # fmt: skip
        samples.append(Sample(f"prefill {length} served", side, turn, prefill_tokens_per_s(found), "tokens/s"))
    return samples


async def keeping_goals(server: Server, side: str, turn: int, sizes: Sizes) -> list[Sample]:
    """Requests per second that kept the goals, at each rate of Poisson arrivals."""
    rates = ",".join(map(str, sizes.rates))
    limit_s = 60 + len(sizes.rates) * (sizes.rate_s + 60)
    results = await bench(
        server, limit_s, _plain(), rate=rates, duration_s=sizes.rate_s, input_tokens=PROMPT, output_tokens=ANSWER,
        goodput=GOALS, warm_up=3, vocab_size=sizes.vocab, seed=_seed(turn, 5000),
    )  # fmt: skip
    samples = []
    for rate, found in zip(sizes.rates, results, strict=True):
        samples.append(Sample(f"goodput at {rate}/s", side, turn, goodput(found), "requests/s"))
        for metric in ("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_itl_ms"):
            samples.append(Sample(f"{metric} at {rate}/s", side, turn, float(found[metric]), "ms"))
    best = max(goodput(found) for found in results)
    return [*samples, Sample("best goodput", side, turn, best, "requests/s")]


async def undisturbed(server: Server, side: str, turn: int, sizes: Sizes) -> list[Sample]:
    """Pauses of running streams while other prompts arrive, over their pauses while none does."""
    idle = await _streams(server, sizes, _seed(turn, 6000))
    arrival_s = sizes.stream_tokens * max(idle, 5.0) / 1000 * 4 + 2 * HEAD_START_S
    others = asyncio.create_task(
        bench(
            server, arrival_s + 90, _plain(), rate=sizes.arrival_rate, duration_s=arrival_s, input_tokens=PROMPT,
            output_tokens=8, warm_up=0, vocab_size=sizes.vocab, seed=_seed(turn, 8000),
        )
    )  # fmt: skip
    try:
        await asyncio.sleep(HEAD_START_S)
        busy = await _streams(server, sizes, _seed(turn, 7000), share=99.0)
        covered = not others.done()
    finally:
        others.cancel()
        await asyncio.wait([others])
    if not covered:
        raise ValueError("prompts had ceased to arrive before the streams ended")
    return [
        Sample("ITL idle p50", side, turn, idle, "ms"),
        Sample("ITL busy p99", side, turn, busy, "ms"),
        Sample("ITL busy / idle", side, turn, busy / idle, ""),
    ]


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
