"""The product's engine without its processes, and how long each of its steps was inside and outside native code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.cache.storage import KVStorage
from common.engine.limits import Limits
from common.engine.messages import SubmitLocal
from common.engine.runner import Runner
from common.engine.tables import BlockTables
from common.models.decoder import Decoder
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler

Clock = Callable[[], float]
MODELS = Path(".baton/shapes")
CONTEXT = 128
BATCHES = (1, 8, 32)
PROMPTS = (512, 2048)
BLOCK_TOKENS = 16
MOST_STEPS = 240
"""After a prompt; as many as an answer may have tokens."""


class TimedLibrary:
    """Native code whose calls are timed: what Python does to make one is outside."""

    def __init__(self, library: Any, clock: Clock) -> None:
        self.seconds = 0.0
        self._library, self._clock = library, clock

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)

        def timed(*arguments: object) -> object:
            began = self._clock()
            result = function(*arguments)
            self.seconds += self._clock() - began
            return result

        setattr(self, name, timed)
        return timed


class Engine:
    """Scheduler, runner and sampler around a model, stepped by hand."""

    def __init__(self, decoder: Decoder, clock: Clock) -> None:
        native: Any = decoder._native
        if native is None:
            raise RuntimeError("there are no native kernels here to measure; see `python -m common.kernels.native`")
        self.decoder = decoder
        self._inside = TimedLibrary(native._library, clock)
        native._library = self._inside
        self._clock = clock
        layout = decoder.layout(BLOCK_TOKENS, "bench")
        self._num_blocks = max(max(BATCHES) * (CONTEXT + MOST_STEPS), 2 * max(PROMPTS)) // BLOCK_TOKENS + 64
        self._storage = KVStorage(layout, self._num_blocks)
        self._runner = Runner(decoder, self._storage)
        self._num_sent = 0

    def begin(self, batch: int, num_tokens: int, token_budget: int) -> None:
        """Sequences that differ from all before them, so that nothing is cached; none is computed yet."""
        tables = BlockTables.create(self._num_blocks, BLOCK_TOKENS, b"k" * 32, "bench")
        self._scheduler = DecodeScheduler(Limits(token_budget, batch, 8192, goes_further=True), tables)
        for _ in range(batch):
            self._num_sent += 1
            tokens = tuple((self._num_sent * 7919 + 31 * place) % 4000 + 2 for place in range(num_tokens))
            sampling = Sampling(temperature=0.0, max_tokens=MOST_STEPS)
            attempt = Attempt(AttemptId(f"r{self._num_sent}", 1), tokens, num_tokens, (Choice(0),), sampling)
            self._scheduler.accept(SubmitLocal(attempt), 0.0)

    def decode(self, batch: int) -> None:
        """A batch whose prompts are computed: every step from now on is one of decoding."""
        self.begin(batch, CONTEXT, max(2048, batch + 1))
        while self.step()[0] != batch:
            continue

    def step(self) -> tuple[int, float, float]:
        """Tokens computed, seconds, and how many of them passed outside native code."""
        self._inside.seconds = 0.0
        began = self._clock()
        plan = self._scheduler.plan(0.0)
        if plan is None:
            raise RuntimeError("there is nothing to compute")
        self._scheduler.commit(plan, self._runner.run(plan), 0.0)
        seconds = self._clock() - began
        return plan.num_tokens, seconds, seconds - self._inside.seconds


def step_bytes(decoder: Decoder, batch: int, context: int) -> int:
    """Every weight once (an embedding table that is not the head is only looked up), and every sequence's KV."""
    config = decoder.config
    table = 0 if config.tied else config.vocab_size * config.hidden_size * 2
    kv = config.num_layers * 2 * config.num_kv_heads * config.head_dim * 2
    return decoder.weight_bytes - table + batch * context * kv
