"""A whole decode step against what the machine can read, and what of it passes outside kernels (rows C4, C5).

Scheduler, runner, model and sampler are the product's; nothing else runs in this process. Each round measures the
machine's read bandwidth, with as many threads as compute, and then steps; ratios are taken within a round. One thread
is what a worker has that shares two cores with another (the thread's own CPU time is counted), two are what it has
alone (wall time). Native code is kernels; all Python is outside, the making of a call's arguments too.
"""

import statistics
import time

import torch

from common.models.decoder import Decoder
from loadtest.micro._engine import BATCHES, CONTEXT, MODELS, PROMPTS, Engine, step_bytes
from loadtest.micro._reading import Reading
from loadtest.micro._rows import Measured
from loadtest.shapes import random_model

NUM_ROUNDS = 9
NUM_STEPS, NUM_COLD = 18, 4
"""Steps of a round; the first ones find caches and cores still full of the bandwidth's measuring, and do not count."""
NUM_PROMPTS = 3


def run(shape: str = "135m", threads: str = "1") -> list[Measured]:
    """Prints a line per batch size and per prompt length."""
    torch.set_num_threads(int(threads))
    clock = time.thread_time if threads == "1" else time.perf_counter
    engine = Engine(Decoder.load(random_model(shape, MODELS), "bfloat16"), clock)
    reading = Reading(clock)
    where = f"{shape}, {threads} thread{'s' if threads != '1' else ''}"
    print(f"{where}, bfloat16, {'CPU' if threads == '1' else 'wall'} time, medians of {NUM_ROUNDS} rounds")
    print("  step              time       outside kernels   bytes read / (time x bandwidth)   bandwidth, GB/s")
    rows: list[Measured] = []
    for batch in BATCHES:
        rows += _decoding(engine, reading, batch, where)
    for num_tokens in PROMPTS:
        _prompts(engine, num_tokens)
    reading.close()
    return rows


def _decoding(engine: Engine, reading: Reading, batch: int, where: str) -> list[Measured]:
    own, outside, shares, of_bandwidth = [], [], [], []
    ways: dict[str, list[float]] = {}
    engine.decode(batch)
    for round_ in range(NUM_ROUNDS):
        rates = reading.rates()
        for way, rate in rates.items():
            ways.setdefault(way, []).append(rate)
        steps = [engine.step()[1:] for _ in range(NUM_STEPS)][NUM_COLD:]
        seconds, around = (statistics.median(part) for part in zip(*steps, strict=True))
        num_bytes = step_bytes(engine.decoder, batch, CONTEXT + round_ * NUM_STEPS + NUM_STEPS // 2)
        own.append(seconds)
        outside.append(1e3 * around)
        shares.append(100 * around / seconds)
        of_bandwidth.append(num_bytes / (seconds * max(rates.values())))
    told = ", ".join(f"{way} {statistics.median(rate) / 1e9:.1f}" for way, rate in ways.items())
    print(
        f"  decode B={batch:<3}{1e3 * statistics.median(own):12.2f} ms {statistics.median(outside):8.3f} ms"
        f" {statistics.median(shares):5.1f} % {statistics.median(of_bandwidth):15.2f}{'':18}{told}",
        flush=True,
    )
    judged = batch == 1  # larger batches also compute
    limits = ((0.8, 0.9), (5.0, 2.0), (0.3, 0.0)) if judged else ((0.0, 0.0),) * 3
    c4, c5 = ("C4", "C5") if judged else ("", "")
    name = f"B={batch}, {where}"
    return [
        Measured(
            c4, f"bytes a step must read / (its time x read bandwidth), {name}", tuple(of_bandwidth), "", *limits[0]
        ),
        Measured(c5, f"share of a step outside kernels, {name}", tuple(shares), "%", *limits[1], most=True),
        Measured(c5, f"time of a step outside kernels, {name}", tuple(outside), "ms", *limits[2], most=True),
        Measured("", f"decode step, {name}", tuple(1e3 * each for each in own), "ms"),
    ]


def _prompts(engine: Engine, num_tokens: int) -> None:
    seconds, outside = [], []
    for _ in range(NUM_PROMPTS):
        engine.begin(1, num_tokens, num_tokens + 1)
        _, whole, around = engine.step()
        seconds.append(1e3 * whole)
        outside.append(1e3 * around)
    own, around = statistics.median(seconds), statistics.median(outside)
    print(f"  prefill {num_tokens:<5}{own:9.2f} ms {around:8.3f} ms {100 * around / own:5.1f} %", flush=True)
