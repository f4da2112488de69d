"""A whole decode or prefill step, against transformers in the same run, and against what the machine could read.

Scheduler, runner, model and sampler are the product's; nothing else runs in this process. Both sides take turns, so
that whatever else the machine does hits them alike. Times are the thread's own CPU time when one thread computes (the
default), which other processes disturb less; wall time otherwise.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from common.cache.storage import KVStorage
from common.engine.limits import Limits
from common.engine.messages import SubmitLocal
from common.engine.runner import Runner
from common.engine.tables import BlockTables
from common.kernels.batch import Batch
from common.kernels.logits import Logits
from common.models.decoder import Decoder
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from loadtest.micro._rows import Measured
from loadtest.shapes import random_model

T = TypeVar("T")
MODELS = Path(".baton/shapes")
CONTEXT = 128
BATCHES = (1, 8, 32)
PROMPTS = (512, 2048)
NUM_STEPS = 25
NUM_PROMPTS = 3
BLOCK_TOKENS = 16


@dataclass
class Timed:
    """A decoder that notes how long it was inside its kernels."""

    decoder: Decoder
    clock: Callable[[], float]
    seconds: float = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decoder, name)

    def forward(self, batch: Batch, kv: torch.Tensor) -> torch.Tensor:
        return self._note(lambda: self.decoder.forward(batch, kv))

    def ranked(self, rows: torch.Tensor) -> Logits:
        return self._note(lambda: self.decoder.ranked(rows))

    def _note(self, call: Callable[[], T]) -> T:
        began = self.clock()
        result = call()
        self.seconds += self.clock() - began
        return result


@dataclass
class Series:
    """One measured thing: its steps' seconds, the part outside kernels, and the peer's seconds."""

    own: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)


class Engine:
    """The decode worker's engine without its thread."""

    def __init__(self, decoder: Decoder, clock: Callable[[], float]) -> None:
        self.timed = Timed(decoder, clock)
        self._clock = clock
        layout = decoder.layout(BLOCK_TOKENS, "bench")
        num_blocks = max(max(BATCHES) * (CONTEXT + 4 * NUM_STEPS), 2 * max(PROMPTS)) // BLOCK_TOKENS + 64
        self._storage = KVStorage(layout, num_blocks)
        self._runner = Runner(self.timed, self._storage)  # type: ignore[arg-type]
        self._num_blocks = num_blocks
        self._num_sent = 0

    def begin(self, batch: int, num_tokens: int, token_budget: int) -> None:
        """Sequences that differ from all before them, so that nothing is cached; none is computed yet."""
        tables = BlockTables.create(self._num_blocks, BLOCK_TOKENS, b"k" * 32, "bench")
        self._scheduler = DecodeScheduler(Limits(token_budget, batch, 8192), tables)
        for _ in range(batch):
            self._num_sent += 1
            tokens = tuple((self._num_sent * 7919 + 31 * place) % 4000 + 2 for place in range(num_tokens))
            sampling = Sampling(temperature=0.0, max_tokens=4 * NUM_STEPS)
            attempt = Attempt(AttemptId(f"r{self._num_sent}", 1), tokens, num_tokens, (Choice(0),), sampling)
            self._scheduler.accept(SubmitLocal(attempt), 0.0)

    def step(self) -> tuple[int, float, float]:
        """Tokens computed, seconds, and how many of them passed outside the kernels."""
        self.timed.seconds = 0.0
        began = self._clock()
        plan = self._scheduler.plan(0.0)
        if plan is None:
            raise RuntimeError("there is nothing to compute")
        self._scheduler.commit(plan, self._runner.run(plan), 0.0)
        seconds = self._clock() - began
        return plan.num_tokens, seconds, seconds - self.timed.seconds


class Peer:
    """transformers on the same folder, in the same dtype."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._clock = clock

    @torch.inference_mode()
    def prompt(self, batch: int, num_tokens: int) -> float:
        ids = torch.randint(2, 4000, (batch, num_tokens))
        began = self._clock()
        out = self._model(ids, use_cache=True, logits_to_keep=1)
        self._next = out.logits[:, -1].argmax(-1, keepdim=True)
        self._cache = out.past_key_values
        return self._clock() - began

    @torch.inference_mode()
    def step(self) -> float:
        began = self._clock()
        out = self._model(self._next, past_key_values=self._cache, use_cache=True)
        self._next = out.logits[:, -1].argmax(-1, keepdim=True)
        self._cache = out.past_key_values
        return self._clock() - began


def run(shape: str = "135m", threads: str = "1") -> list[Measured]:
    """Prints a line per batch size and per prompt length."""
    torch.set_num_threads(int(threads))
    clock = time.thread_time if threads == "1" else time.perf_counter
    folder = random_model(shape, MODELS)
    engine, peer = Engine(Decoder.load(folder, "bfloat16"), clock), Peer(folder, clock)
    bandwidth = read_bandwidth(clock)
    print(f"{shape} in bfloat16, {threads} thread(s), {'CPU' if threads == '1' else 'wall'} time, medians; ", end="")
    print(f"reads at {bandwidth / 1e9:.1f} GB/s here")
    rows: list[Measured] = []
    print("  step            baton  outside kernels   transformers  ratio   bytes read / (time x bandwidth)")
    for batch in BATCHES:
        engine.begin(batch, CONTEXT, max(2048, batch + 1))
        while engine.step()[0] != batch:
            continue
        peer.prompt(batch, CONTEXT)
        series = Series()
        for _ in range(NUM_STEPS):
            _note(series, engine.step())
            series.peer.append(peer.step())
        num_bytes = step_bytes(engine.timed.decoder, batch)
        _report(f"decode B={batch}", series, num_bytes / (statistics.median(series.own) * bandwidth))
        rows += _rows(f"B={batch}", series, num_bytes / bandwidth, judged=batch == 1)
    for num_tokens in PROMPTS:
        series = Series()
        for _ in range(NUM_PROMPTS):
            engine.begin(1, num_tokens, num_tokens + 1)
            _note(series, engine.step())
            series.peer.append(peer.prompt(1, num_tokens))
        _report(f"prefill {num_tokens}", series, None)
    return rows


def _rows(name: str, series: Series, floor_s: float, *, judged: bool) -> list[Measured]:
    """The targets are for one sequence; larger batches also compute, and attend to longer contexts together."""
    of_bandwidth = tuple(floor_s / own for own in series.own)
    shares = tuple(100 * outside / own for outside, own in zip(series.outside, series.own, strict=True))
    outside = tuple(each * 1e3 for each in series.outside)
    what = f"of a decode step outside kernels, {name}"
    rows = [
        Measured("C4", f"bytes a step must read / (its time x read bandwidth), {name}", of_bandwidth, "", 0.8, 0.9),
        Measured("C5", f"share {what}", shares, "%", 5, 2, most=True),
        Measured("C5", f"time {what}", outside, "ms", 0.3, 0.3, most=True),
    ]
    return rows if judged else [replace(row, number="", must=0.0, aim=0.0) for row in rows]


def step_bytes(decoder: Decoder, batch: int) -> int:
    """Every weight once (an embedding table that is not the head is only looked up), and every sequence's KV."""
    config = decoder.config
    table = 0 if config.tied else config.vocab_size * config.hidden_size * 2
    kv = config.num_layers * 2 * config.num_kv_heads * config.head_dim * 2
    return decoder.weight_bytes - table + batch * (CONTEXT + NUM_STEPS // 2) * kv


def read_bandwidth(clock: Callable[[], float]) -> float:
    """Bytes per second of a sum over memory that fits no cache; the best of some."""
    memory = torch.ones(256 << 20, dtype=torch.uint8).view(torch.float32)
    seconds = []
    for _ in range(7):
        began = clock()
        memory.sum()
        seconds.append(clock() - began)
    return memory.nbytes / min(seconds)


def _note(series: Series, step: Sequence[float]) -> None:
    series.own.append(step[1])
    series.outside.append(step[2])


def _report(name: str, series: Series, of_bandwidth: float | None) -> None:
    own, outside, peer = (statistics.median(values) * 1e3 for values in (series.own, series.outside, series.peer))
    ratios = sorted(theirs / ours for theirs, ours in zip(series.peer, series.own, strict=True))
    line = f"  {name:<14}{own:8.2f} ms  {outside:6.2f} ms {outside / own:6.1%}  {peer:8.2f} ms"
    line += f"  {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(line + (f"  {of_bandwidth:.2f}" if of_bandwidth is not None else ""), flush=True)
