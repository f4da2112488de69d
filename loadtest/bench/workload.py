"""What one run sends and when, from the options: arrivals, lengths and prompts joined to planned requests. Pure.

Planned lazily, one ahead of the clock: long prompts by the thousand would fill the memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from common.types.config_bench import BenchConfig
from common.types.options import ConfigError
from loadtest.bench.arrivals import Rate, arrivals, parse_rate
from loadtest.bench.lengths import Lengths, parse_lengths
from loadtest.bench.prompts import Prompts, Wording
from loadtest.bench.record import Planned
from loadtest.bench.trace import TraceRow, read_trace

NUM_REQUESTS = 100


@dataclass(frozen=True, slots=True)
class Load:
    """One run of a sweep: open at a rate or along a trace, closed when neither; never more than `concurrency`."""

    rate: Rate | None
    concurrency: int | None
    traced: bool = False

    @property
    def open(self) -> bool:
        return self.traced or self.rate is not None

    def __str__(self) -> str:
        parts = ["trace"] if self.traced else []
        parts += [f"{self.rate} requests/s"] if self.rate is not None else []
        parts += [f"at most {self.concurrency} at once"] if self.concurrency is not None else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Workload:
    """The parts of a run that stay the same over a sweep."""

    input: Lengths
    output: Lengths
    trace: tuple[TraceRow, ...] = ()


def loads(config: BenchConfig) -> tuple[Load, ...]:
    """The runs that the options ask for, every rate at every concurrency; without either, one request at a time."""
    rates = [parse_rate(text) for text in config.rate]
    if rates and config.trace:
        raise ConfigError("--rate and --trace both say when requests come", "Leave one away; --time-scale speeds up")
    most = [_concurrency(text) for text in config.concurrency]
    if not rates and not config.trace and not most:
        most = [1]
    traced = bool(config.trace)
    every_rate: list[Rate | None] = [*rates] or [None]
    every_limit: list[int | None] = [*most] or [None]
    return tuple(Load(rate, limit, traced) for rate in every_rate for limit in every_limit)


def workload(config: BenchConfig, read: Callable[[str], str]) -> Workload:
    """`read` gives a file's contents."""
    trace = read_trace(read(config.trace).splitlines(), config.trace) if config.trace else ()
    return Workload(
        parse_lengths(config.input_tokens, "--input-tokens", read),
        parse_lengths(config.output_tokens, "--output-tokens", read),
        trace,
    )


def planned(
    config: BenchConfig, workload: Workload, load: Load, prompts: Prompts, wording: Wording
) -> Iterator[Planned]:
    """Requests in order of sending; without end when only time ends the run."""
    num_requests = config.requests or (0 if config.duration_s or load.traced else NUM_REQUESTS)
    lengths = Random(f"lengths {config.seed}")
    if load.traced:
        yield from _traced(config, workload, prompts, wording, num_requests)
        return
    times: Iterator[float]
    if load.rate is not None:
        times = arrivals(load.rate, config.burstiness, num_requests, config.duration_s, Random(f"times {config.seed}"))
    else:
        times = _no_times(num_requests)
    for number, at_s in enumerate(times):
        num_input = _clipped(workload.input.draw(lengths), config.clip_input)
        num_output = _clipped(workload.output.draw(lengths), config.clip_output)
        prompt, num_tokens = wording.word(prompts.fresh(num_input))
        yield Planned(number, at_s, prompt, num_tokens, num_output)


def _traced(
    config: BenchConfig, workload: Workload, prompts: Prompts, wording: Wording, num_requests: int
) -> Iterator[Planned]:
    rows = workload.trace[: num_requests or None]
    for number, row in enumerate(rows):
        at_s = row.at_s * config.time_scale
        if config.duration_s and at_s >= config.duration_s:
            return
        num_input = _clipped(row.num_input, config.clip_input)
        prompt, num_tokens = wording.word(prompts.hashed(row.hash_ids, num_input))
        yield Planned(number, at_s, prompt, num_tokens, _clipped(row.num_output, config.clip_output))


def _no_times(num_requests: int) -> Iterator[float]:
    number = 0
    while not num_requests or number < num_requests:
        yield 0.0
        number += 1


def _clipped(length: int, most: int) -> int:
    return min(length, most) if most else length


def _concurrency(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(f"--concurrency is {text!r}", "It must be a whole number above 0")
    return int(text)
