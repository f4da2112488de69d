"""A whole engine from a configuration: loaded, sized, warm, answering; or refused with the fix."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from queue import Queue

import pytest
import torch

from common.engine.boot import Engine, Machine, boot
from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.messages import Event, MoreTokens, Reserve, Reserved, StepTokens, Submit, SubmitLocal
from common.engine.plan import StepPlan, StepResult
from common.engine.runner import Runner
from common.engine.tables import BlockTables
from common.engine.voice import Voice
from common.types.config import WorkerConfig
from common.types.errors import ModelError, StartupError
from common.types.kv import KVLayout
from common.types.sampling import FinishReason, Sampling
from common.types.timeouts import Timeouts
from decode_worker.scheduler import DecodeScheduler
from prefill_worker.scheduler import PrefillScheduler
from tests.engine.attempts import attempt
from tests.models.loop import random_prompts
from tests.tiny import reference_greedy, tiny_model

WAIT_S = 30.0  # only ever reached by a test that fails
MACHINE = Machine(lambda: 2 << 30, 1)


def decode(limits: Limits, tables: BlockTables, layout: KVLayout) -> Scheduler:
    return DecodeScheduler(limits, tables)


def prefill(limits: Limits, tables: BlockTables, layout: KVLayout) -> Scheduler:
    return PrefillScheduler(limits, tables, layout.fingerprint)


def configure(name: str = "llama") -> WorkerConfig:
    return WorkerConfig(model=str(tiny_model(name)), num_blocks=64, threads=torch.get_num_threads(), cache_key="key")


class Watch:
    """Boots engines and keeps what they said and handed over."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.phases: list[str] = []
        self.progress: list[tuple[int, int]] = []
        self.events: Queue[Event] = Queue()
        self.crashes: Queue[BaseException] = Queue()

    def boot(self, config: WorkerConfig, machine: Machine = MACHINE, make: Callable[..., Scheduler] = decode) -> Engine:
        def on_events(events: tuple[Event, ...]) -> None:
            for event in events:
                self.events.put(event)

        def progress(done: int, total: int) -> None:
            self.progress.append((done, total))

        return boot(
            config, make, on_events, self.crashes.put, machine, Voice(self.phases.append, self.lines.append, progress)
        )

    def answer(self) -> list[int]:
        """The tokens of the one attempt that runs."""
        tokens: list[int] = []
        while True:
            event = self.events.get(timeout=WAIT_S)
            if isinstance(event, StepTokens | MoreTokens):
                tokens += [token.token_id for _, token in event.rows]
                if any(token.finish is not None for _, token in event.rows):
                    return tokens


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_an_engine_answers_like_transformers_and_says_what_it_does(watch: Watch) -> None:
    config = configure()
    engine = watch.boot(config)
    [prompt] = random_prompts(engine.model.vocab_size, (40,))
    engine.loop.post(SubmitLocal(attempt("a", prompt, sampling=Sampling(temperature=0.0, max_tokens=20))))
    assert watch.answer() == reference_greedy(tiny_model("llama"), prompt, 20)
    engine.close()
    assert watch.crashes.empty()
    assert watch.phases == ["environment", "kernels", "load", "pack", "probe"]
    assert watch.lines[0].startswith("KV pool: 64 blocks of 16 tokens = 1024 tokens")
    assert watch.lines[1].startswith("warm-up: ")
    assert watch.progress[-1][0] == watch.progress[-1][1] > 0
    assert engine.limits.max_model_tokens == 1024
    assert engine.limits.tpot_goal_s == 0.06
    assert engine.limits.goes_further
    assert engine.layout.model == engine.fingerprint
    load = engine.loop.load()
    assert load.num_free_blocks + load.num_cached_blocks == 64


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smaller_dtypes_serve(watch: Watch, dtype: str) -> None:
    engine = watch.boot(replace(configure("qwen3"), dtype=dtype))
    answers = []
    for name in "ab":
        sampling = Sampling(seed=1, top_p=0.9, max_tokens=12)
        engine.loop.post(SubmitLocal(attempt(name, range(2, 40), sampling=sampling, salt=name.encode())))
        answers.append(watch.answer())
    assert answers[0] == answers[1]
    assert len(answers[0]) == 12
    assert engine.layout.dtype == dtype
    engine.close()


def test_a_prefill_engine_announces_its_blocks(watch: Watch) -> None:
    engine = watch.boot(configure(), make=prefill)
    engine.loop.post(Submit(attempt("a", range(40)), lend=True))
    seen = [type(watch.events.get(timeout=WAIT_S)).__name__ for _ in range(5)]
    assert sorted(seen) == ["BlocksReady", "FirstTokens", "PrefixChanged", "Sealed", "Started"]
    assert seen[0] == "Started"
    engine.close()


def test_a_command_for_the_other_leg_is_a_bug_and_ends_the_engine(watch: Watch) -> None:
    engine = watch.boot(configure(), make=prefill)
    engine.loop.post(Reserve(attempt("a", range(40))))
    assert isinstance(watch.crashes.get(timeout=WAIT_S), RuntimeError)
    engine.close()


def test_commands_posted_at_once_are_served_in_order(watch: Watch) -> None:
    engine = watch.boot(configure())
    for name in "abc":
        engine.loop.post(Reserve(attempt(name, range(20))))
    reserved = [watch.events.get(timeout=WAIT_S) for _ in range(3)]
    assert [event.id.request_id for event in reserved if isinstance(event, Reserved)] == ["a", "b", "c"]
    engine.close()


def test_the_pool_takes_a_share_of_free_memory(watch: Watch) -> None:
    machine = Machine(lambda: 400 << 20, 1)
    engine = watch.boot(replace(configure(), num_blocks=0, max_sequences=500, token_budget=600), machine)
    assert 0 < engine.storage.num_bytes < 100 << 20
    assert engine.storage.num_bytes > 25 << 20
    engine.close()


def test_the_last_token_fits_a_pool_that_one_sequence_fills(watch: Watch) -> None:
    engine = watch.boot(replace(configure(), num_blocks=16, timeouts=Timeouts(tpot_goal_ms=0.0)))
    assert engine.limits.max_model_tokens == 256
    assert engine.limits.tpot_goal_s == inf
    engine.loop.post(SubmitLocal(attempt("a", range(250), sampling=Sampling(temperature=0.0, max_tokens=99))))
    assert len(watch.answer()) == 6
    engine.close()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"num_blocks": 3}, "the KV pool would hold 48 tokens"),
        ({"num_blocks": 1 << 20}, "the KV pool needs"),
        ({"max_model_tokens": 5000}, "max_model_tokens is 5000, and the model was made for 4096"),
        ({"token_budget": 64}, "no room for prompts"),
        ({"cores": "99999"}, "may not run on cores 99999"),
        ({"cores": "one"}, "is not a list of cores"),
        ({"dtype": "int3"}, "dtype 'int3' is not supported"),
    ],
)
def test_what_cannot_work_is_refused_with_a_fix(watch: Watch, change: dict[str, object], cause: str) -> None:
    config = replace(configure(), **change)  # type: ignore[arg-type]
    with pytest.raises(StartupError) as refused:
        watch.boot(config)
    assert cause in refused.value.cause
    assert refused.value.fix
    assert watch.crashes.empty()


def test_weights_that_do_not_fit_are_not_even_read(watch: Watch) -> None:
    with pytest.raises(StartupError, match="the weights take"):
        watch.boot(configure(), Machine(lambda: 1000, 1))
    assert not watch.progress


def test_a_folder_without_a_model(watch: Watch, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        watch.boot(replace(configure(), model=str(tmp_path)))


def test_a_model_whose_answers_are_not_numbers_never_serves(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Runner.run

    def spoiled(self: Runner, plan: StepPlan) -> StepResult:
        return replace(run(self, plan), sampled=(None,) * len(plan.rows))

    monkeypatch.setattr(Runner, "run", spoiled)
    with pytest.raises(ModelError, match="not numbers"):
        watch.boot(configure())


def test_finish_reasons_come_with_the_last_token(watch: Watch) -> None:
    engine = watch.boot(configure("qwen2"))
    engine.loop.post(SubmitLocal(attempt("a", [1, 2, 3], sampling=Sampling(temperature=0.0, max_tokens=1))))
    while not isinstance(event := watch.events.get(timeout=WAIT_S), StepTokens):
        pass
    assert event.rows[0][1].finish is FinishReason.LENGTH
    engine.close()
