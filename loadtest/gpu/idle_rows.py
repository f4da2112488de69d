"""G6: the share of a step in which the device waits for the host: a small model, many sequences, a real scheduler."""

import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import torch

from common.engine.draw import draw
from common.kernels.choosing import choosing
from common.types.sampling import Sampling
from loadtest.gpu.bench import BLOCK_TOKENS, Bench, Talks, set_up
from loadtest.gpu.ceilings import Ceilings, seconds
from loadtest.gpu.engine import LocalEngine
from loadtest.gpu.models import draw_model
from loadtest.gpu.rows import Row

ROWS, PROMPT, NUM_STEPS = 256, 64, 150
MAX_TOKENS = PROMPT + 3 * NUM_STEPS


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    decoder = draw_model("0.6B", device)
    num_blocks = ROWS * (-(-MAX_TOKENS // BLOCK_TOKENS) + 1)
    bench = set_up(decoder, (ROWS,), MAX_TOKENS, num_blocks)
    engine = LocalEngine(bench, 4096, ROWS, MAX_TOKENS)
    for _ in range(ROWS):
        engine.send(PROMPT, 2 * NUM_STEPS)
    seen: list[float] = []
    while len(seen) < NUM_STEPS:
        plan = engine.step()
        if plan is None:
            raise RuntimeError("the sequences ended early")
        if plan.num_decode == len(plan.works) == ROWS:
            seen.append(time.perf_counter())
    wall = median(late - early for early, late in pairwise(seen[10:]))
    bench.runner.settle()
    busy = device_seconds(bench)
    idle = max(0.0, 1 - busy / wall)
    counts = bench.runner.counts
    measured = (
        f"{wall * 1e3:.2f} ms a step, device busy {busy * 1e3:.2f} ms; {counts.num_ahead} of {counts.num_steps} ahead"
    )
    yield Row("G6", f"idle share of a step, 0.6B, B={ROWS}", measured, idle, 0.03)


def device_seconds(bench: Bench) -> float:
    """The same step launched back to back, so that the host is never waited for."""
    plan = Talks(ROWS, PROMPT + NUM_STEPS, 2, Sampling(temperature=0.0)).plan()
    kernels = choosing(bench.decoder.device)

    def step() -> None:
        draw(kernels, bench.decoder.logits(bench.steps.run(ROWS)), plan.rows, bench.stage)

    with torch.inference_mode():
        return seconds(step, batch=10)
