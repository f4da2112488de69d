"""A whole bench: one target, the runs of a sweep one after the other, results written whatever ends it.

Ctrl-C ends the run that is going on; what came until then is written. A second one ends the process at once.
"""

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from common.types.config_bench import BenchConfig
from common.types.options import ConfigError
from loadtest.bench.drive import Drive
from loadtest.bench.goodput import parse_limits
from loadtest.bench.grpc_target import GrpcTarget
from loadtest.bench.http_target import HttpTarget
from loadtest.bench.live import shown
from loadtest.bench.prompts import LEAST_VOCAB, AsIds, AsText, AsWords, Prompts, Wording
from loadtest.bench.record import Record
from loadtest.bench.report import report
from loadtest.bench.result import Run, result
from loadtest.bench.summary import summary, sweep
from loadtest.bench.target import Asking, Served, Target
from loadtest.bench.workload import Load, loads, planned, workload

OK, INTERRUPTED = 0, 130


class Bench:
    """The runs of one command."""

    def __init__(self, config: BenchConfig, console: Console) -> None:
        self._config, self._console = config, console
        self._loads = loads(config)
        self._workload = workload(config, _read)
        self._limits_ms = parse_limits(config.goodput)
        _check_writable(config.json, config.report)
        self._wording = _wording(config)
        self._drive: Drive | None = None
        self._interrupted = False
        self.results: list[dict[str, Any]] = []

    async def run(self) -> int:
        """The command's exit code: a request that failed is a result, no failure of the bench."""
        with _on_interrupt(self._stop):
            target, served = await self._open()
            try:
                await self._warm_up(target, served)
                for load in self._loads:
                    if self._interrupted:
                        break
                    self.results.append(await self._measure(target, served, load))
                    self._write()
            finally:
                await target.close()
        if len(self.results) > 1:
            self._console.print(sweep(self.results), soft_wrap=True, highlight=False)
        return INTERRUPTED if self._interrupted else OK

    def _stop(self) -> None:
        self._interrupted = True
        if self._drive is not None:
            self._drive.stop()

    async def _open(self) -> tuple[Target, Served]:
        """The target once it has said which model it serves."""
        config = self._config
        asking = Asking(api_key=config.api_key, model_id=config.model_id)
        first = _target(config, asking)
        try:
            served = await first.served()
        finally:
            await first.close()
        asking = Asking(
            model_id=served.model_id,
            api_key=config.api_key,
            temperature=config.temperature,
            ignore_eos=config.ignore_eos,
            deadline_s=config.deadline_s,
            seed=config.seed,
            texts=config.texts,
        )
        return _target(config, asking), served

    def _prompts(self, served: Served, seed: int) -> Prompts:
        config, wording = self._config, self._wording
        own = wording.vocab_size if isinstance(wording, AsText) else LEAST_VOCAB
        vocab = config.vocab_size or served.vocab_size or own
        return Prompts(seed, vocab, config.prefixes, config.prefix_tokens)

    async def _warm_up(self, target: Target, served: Served) -> None:
        """One after the other, with prompts none of which comes again. A server that answers none is not measured."""
        load = Load(None, 1, bool(self._config.trace))
        plan = planned(self._config, self._workload, load, self._prompts(served, -1), self._wording)
        self._drive = Drive(target, islice(plan, self._config.warm_up), load.concurrency, 0.0)
        await self._drive.run(open_loop=False)
        records = self._drive.progress.records
        kinds = {record.error for record in records if record.error}
        if records and not any(record.ok for record in records) and not self._interrupted:
            fix = "Try it by hand, or with --warm-up 0 to measure nevertheless"
            raise ConfigError(f"No warm-up request was answered: {', '.join(sorted(kinds)) or 'no token came'}", fix)

    async def _measure(self, target: Target, served: Served, load: Load) -> dict[str, Any]:
        config = self._config
        prompts = self._prompts(served, config.seed + len(self.results))
        plan = planned(config, self._workload, load, prompts, self._wording)
        drive = self._drive = Drive(target, plan, load.concurrency, config.duration_s)
        cpu_s = time.process_time()
        with shown(self._console, f"{config.label or served.model_id or target.backend}: {load}", drive.progress):
            await drive.run(open_loop=load.open)
        progress = drive.progress
        run = Run(
            label=config.label,
            backend=target.backend,
            model_id=served.model_id,
            date=datetime.now().strftime("%Y%m%d-%H%M%S"),
            rate="trace" if load.traced else str(load.rate) if load.rate else "inf",
            burstiness=config.burstiness,
            concurrency=load.concurrency,
            begin_s=progress.begin_s,
            duration_s=_span(progress.records, progress.begin_s),
            cpu_s=time.process_time() - cpu_s,
            limits_ms=self._limits_ms,
            interrupted=drive.stopped,
            seed=config.seed,
        )
        found = result(run, progress.records, texts=config.texts)
        self._console.print(summary(found), soft_wrap=True, highlight=False)
        return found

    def _write(self) -> None:
        """After every run: what was measured outlives whatever comes next."""
        config = self._config
        if config.json:
            whole = self.results[0] if len(self._loads) == 1 else self.results
            Path(config.json).write_text(json.dumps(whole) + "\n")
        if config.report:
            Path(config.report).write_text(report(config.label or "baton bench", self.results))


def _target(config: BenchConfig, asking: Asking) -> Target:
    if "://" in config.target and not config.target.startswith("grpc://"):
        return HttpTarget(config.target, config.api, asking)
    return GrpcTarget(config.target.removeprefix("grpc://"), asking)


def _wording(config: BenchConfig) -> Wording:
    if config.tokenizer:
        return AsText(config.tokenizer)
    over_http = config.target.startswith(("http://", "https://"))
    return AsWords() if over_http and config.api == "chat" else AsIds()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text", "Check the name of the file") from error


def _check_writable(*paths: str) -> None:
    """Found out before the load, not after it."""
    for path in filter(None, paths):
        folder = Path(path).absolute().parent
        if not folder.is_dir() or Path(path).is_dir():
            raise ConfigError(f"{path} cannot be written", "Name a file in a folder that exists")


def _span(records: Sequence[Record], begin_s: float) -> float:
    return max([record.end_s for record in records if record.end_s], default=begin_s) - begin_s


@contextmanager
def _on_interrupt(stop: Any) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM calls `stop`, the next one acts as ever."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
