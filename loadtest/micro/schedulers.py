"""What planning and committing a decode step costs, by sequences in the batch: the schedulers alone, nothing computed.

Times are the thread's own CPU time. Part of what C5 bounds for the whole step.
"""

import statistics
import time

from common.engine.limits import Limits
from common.engine.messages import SubmitLocal
from common.engine.plan import Sampled, StepPlan, StepResult
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from loadtest.micro._rows import Measured

BATCHES = (1, 32, 256)
CONTEXT = 128
BLOCK_TOKENS = 16
NUM_STEPS = 400
NUM_ROUNDS = 5


def run() -> list[Measured]:
    """Prints a line per batch size."""
    rows = []
    print("decode scheduler, plan and commit of one step, CPU time")
    for batch in BATCHES:
        seconds = [_round(batch) for _ in range(NUM_ROUNDS)]
        micro = [1e6 * each for each in seconds]
        middle = statistics.median(micro)
        print(f"  B={batch:<4} {middle:8.1f} us  {middle / batch:6.2f} us a sequence")
        rows.append(Measured("", f"scheduler: plan and commit of a step, B={batch}", tuple(micro), "us"))
    return rows


def _round(batch: int) -> float:
    """The median step of one batch."""
    blocks = batch * (CONTEXT + NUM_STEPS + 2 * BLOCK_TOKENS) // BLOCK_TOKENS + 64
    tables = BlockTables.create(blocks, BLOCK_TOKENS, b"k" * 32, "bench")
    scheduler = DecodeScheduler(Limits(batch * CONTEXT + batch, batch, 8192), tables)
    for number in range(batch):
        tokens = tuple((number * 7919 + 31 * place) % 4000 + 2 for place in range(CONTEXT))
        sampling = Sampling(temperature=0.0, max_tokens=2 * NUM_STEPS)
        attempt = Attempt(AttemptId(f"r{number}", 1), tokens, CONTEXT, (Choice(0),), sampling)
        scheduler.accept(SubmitLocal(attempt), 0.0)
    times: list[float] = []
    while len(times) < NUM_STEPS:
        began = time.thread_time()
        plan = scheduler.plan(0.0)
        if plan is None:
            raise RuntimeError("there is nothing to plan")
        planned = time.thread_time()
        result = _pretend(plan)
        computed = time.thread_time()
        scheduler.commit(plan, result, 0.0)
        if plan.num_tokens == batch:
            times.append(time.thread_time() - computed + planned - began)
    return statistics.median(times)


def _pretend(plan: StepPlan) -> StepResult:
    """A token for each row, a checksum for each finished block."""
    return StepResult(tuple(Sampled(7) for _ in plan.rows), 0.001, (), tuple(1 for _ in plan.final_blocks))
