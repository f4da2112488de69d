"""Baton's engine without its processes: one JSON line per case. Arguments: MODEL THREADS.

Scheduler, runner, model and sampler are the product's; times are wall time, medians over steps. Like the others it
decodes a while before it is measured. One row on one thread is measured too, and one row again at the end: what those
say of threads and of warming up is in no ratio.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import torch

from common.models.decoder import Decoder
from loadtest.micro._engine import BATCHES, PROMPTS, Engine

NUM_STEPS = 60
NUM_PROMPTS = 4


def main(model: str, threads: int) -> None:
    torch.set_num_threads(threads)
    engine = Engine(Decoder.load(Path(model), "bfloat16"), time.perf_counter)
    tokens_per_s(engine, 1)
    for batch in BATCHES:
        tell(f"decode B={batch} engine", tokens_per_s(engine, batch))
    for num_tokens in PROMPTS:
        seconds = []
        for _ in range(NUM_PROMPTS):
            engine.begin(1, num_tokens, num_tokens + 1)
            seconds.append(engine.step()[1])
        tell(f"prefill {num_tokens} engine", num_tokens / median(seconds[1:]))
    tell("decode B=1 engine, at the end", tokens_per_s(engine, 1))
    torch.set_num_threads(1)
    tell("decode B=1 engine, one thread", tokens_per_s(engine, 1))


def tokens_per_s(engine: Engine, batch: int) -> float:
    engine.decode(batch)
    seconds = [engine.step()[1] for _ in range(NUM_STEPS)]
    return batch / median(seconds[2:])


def tell(case: str, tokens_per_s: float) -> None:
    sys.stdout.write(json.dumps({"case": case, "value": tokens_per_s}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
