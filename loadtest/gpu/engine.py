"""A decode worker's engine without its thread or network: scheduler, runner, and what the steps brought."""

import time

from common.engine.limits import Limits
from common.engine.messages import Event, StepTokens, SubmitLocal
from common.engine.plan import StepPlan
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from loadtest.gpu.bench import BLOCK_TOKENS, Bench


class LocalEngine:
    """Serves attempts it is given; `num_output` and `num_ended` count what came of them."""

    def __init__(self, bench: Bench, token_budget: int, max_sequences: int, max_tokens: int) -> None:
        self._bench = bench
        tables = BlockTables.create(bench.storage.num_blocks, BLOCK_TOKENS, b"k" * 32, "measured")
        self.scheduler = DecodeScheduler(Limits(token_budget, max_sequences, max_tokens, num_ahead=1), tables)
        self._num_sent = 0
        self.num_output = 0
        self.num_ended = 0

    def send(self, num_prompt: int, num_answer: int) -> None:
        """A prompt that no earlier one begins like."""
        self._num_sent += 1
        most = min(30000, self._bench.decoder.config.vocab_size - 2)
        tokens = tuple((self._num_sent * 7919 + 31 * place) % most + 2 for place in range(num_prompt))
        sampling = Sampling(temperature=0.0, max_tokens=num_answer)
        attempt = Attempt(AttemptId(f"r{self._num_sent}", 1), tokens, num_prompt, (Choice(0),), sampling)
        self._note(self.scheduler.accept(SubmitLocal(attempt), time.monotonic()))

    def step(self) -> StepPlan | None:
        plan = self.scheduler.plan(time.monotonic())
        if plan is not None:
            self._note(self.scheduler.commit(plan, self._bench.runner.run(plan), time.monotonic()))
        return plan

    def _note(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, StepTokens):
                self.num_output += len(event.rows)
                self.num_ended += sum(token.finish is not None for _, token in event.rows)
