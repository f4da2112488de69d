"""G1 and G2: the wall time of decode steps as a worker runs them, over the time to read what they must read."""

import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import torch

from common.types.sampling import Sampling
from loadtest.gpu.bench import Bench, Talks, set_up
from loadtest.gpu.ceilings import Ceilings
from loadtest.gpu.models import Cost, draw_model, large_name
from loadtest.gpu.rows import Row

CONTEXT = 2048
NUM_STEPS = 60
GREEDY = Sampling(temperature=0.0, max_tokens=1 << 20)


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    name = large_name(device)
    decoder = draw_model(name, device)
    cost = Cost(decoder.config)
    bench = set_up(decoder, (1, 64), CONTEXT + 2 * NUM_STEPS, Talks.blocks_for(64, CONTEXT, 2 * NUM_STEPS))
    for id, rows, must in (("G1", 64, 1.25), ("G2", 1, 1.30)):
        wall = step_seconds(bench, rows, CONTEXT, NUM_STEPS)
        floor = cost.decode_bytes(rows, CONTEXT) / ceilings.read
        measured = f"{wall * 1e3:.2f} ms, floor {floor * 1e3:.2f} ms, {rows / wall:.0f} tokens/s"
        yield Row(
            id, f"decode step over read roofline, {name}, bf16, B={rows} L={CONTEXT}", measured, wall / floor, must
        )


def step_seconds(bench: Bench, rows: int, context: int, num_steps: int) -> float:
    """Median of what the host sees from one step's tokens to the next one's."""
    talks = Talks(rows, context, num_steps, GREEDY)
    seen = []
    for _ in range(num_steps):
        result = bench.runner.run(talks.plan())
        seen.append(time.perf_counter())
        talks.go_on([1 if sampled is None else sampled.token_id for sampled in result.sampled])
    bench.runner.settle()
    return median(late - early for early, late in pairwise(seen[5:]))
