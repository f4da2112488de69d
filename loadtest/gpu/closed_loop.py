"""G10: 1,000 tokens in, 1,000 out, so many sequences at once, over what the device could do at the very best."""

import time
from collections.abc import Iterator

import torch

from loadtest.gpu.bench import BLOCK_TOKENS, set_up
from loadtest.gpu.ceilings import Ceilings
from loadtest.gpu.engine import LocalEngine
from loadtest.gpu.models import Cost, draw_model, large_name
from loadtest.gpu.rows import Row

PROMPT, ANSWER = 1000, 1000
ROWS = 256
TOKEN_BUDGET = 2048
SETTLING_S, MEASURED_S = 15.0, 30.0
MAX_TOKENS = PROMPT + ANSWER + BLOCK_TOKENS


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    name = large_name(device)
    decoder = draw_model(name, device)
    cost = Cost(decoder.config)
    layout = decoder.layout(BLOCK_TOKENS, "measured")
    per_sequence = -(-MAX_TOKENS // BLOCK_TOKENS) + 1
    fitting = int(torch.cuda.mem_get_info(device)[0] * 0.8) // (layout.block_bytes * per_sequence)
    rows = max(1, min(ROWS, fitting))
    rungs = tuple(sorted({max(1, rows * part // 16) for part in range(1, 17)}))
    bench = set_up(decoder, rungs, MAX_TOKENS, rows * per_sequence)
    engine = LocalEngine(bench, TOKEN_BUDGET, rows, MAX_TOKENS)
    # answers of all remaining lengths, as a loop that has run for long has them: no wave of prompts, none of ends
    for row in range(rows):
        engine.send(PROMPT, max(2, ANSWER * (row + 1) // rows))
    go_on(engine, SETTLING_S)
    rate = go_on(engine, MEASURED_S)
    bound = best_rate(cost, ceilings, rows)
    measured = f"{rate:.0f} of {bound:.0f} output tokens/s, {rows} sequences, {MEASURED_S:.0f} s"
    what = f"output tokens/s in a closed loop {PROMPT}/{ANSWER} over the physical bound, {name}"
    yield Row("G10", what, measured, rate / bound, 0.60, most=False)


def go_on(engine: LocalEngine, seconds: float) -> float:
    """Output tokens per second; whoever ends is followed by a new one at once."""
    began, before = time.perf_counter(), engine.num_output
    while (elapsed := time.perf_counter() - began) < seconds:
        engine.step()
        for _ in range(engine.num_ended):
            engine.send(PROMPT, ANSWER)
        engine.num_ended = 0
    return (engine.num_output - before) / elapsed


def best_rate(cost: Cost, ceilings: Ceilings, rows: int) -> float:
    """Each output token has its share of a step that only reads, and of a prompt that only multiplies."""
    step = cost.decode_bytes(rows, PROMPT + ANSWER // 2) / ceilings.read
    products = 2 * cost.linear_weights * rows / ceilings.products
    prompt = cost.prefill_operations(PROMPT) / ceilings.products
    return 1 / (max(step, products) / rows + prompt / ANSWER)
