"""A plain step is one call into the model; whoever needs something between the pass and its logits gets two."""

from dataclasses import replace
from typing import Any

import pytest

from common.cache.storage import KVStorage
from common.engine.limits import Limits
from common.engine.messages import MoreTokens, StepTokens, Submit, SubmitLocal
from common.engine.plan import StepPlan
from common.engine.runner import Runner
from common.engine.sampler import Sampler
from common.models.decoder import Decoder
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from tests.engine.attempts import attempt, tables
from tests.engine.legs import Leg, decoder


class Recording:
    """A decoder that notes what it is asked for."""

    def __init__(self, model: Decoder) -> None:
        self._model = model
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("forward", "ranked", "forward_ranked"):
            self.calls.append(name)
        return getattr(self._model, name)


def planned(lend: bool) -> tuple[StepPlan, Runner, Recording]:
    leg = Leg("llama", True, 16, 4, 64, 4)
    leg.accept(Submit(attempt("a", range(2, 13)), lend=lend))
    plan = leg.scheduler.plan(1.0)
    assert plan is not None
    recording: Any = Recording(decoder("llama"))
    return plan, Runner(recording, leg.storage), recording


def test_one_call_for_a_plain_step_and_two_where_blocks_become_final() -> None:
    tokens = []
    for lend, calls in ((False, ["forward_ranked"]), (True, ["forward", "ranked"])):
        plan, runner, recording = planned(lend)
        tokens.append(runner.run(plan).sampled)
        assert recording.calls == calls
    assert tokens[0] == tokens[1]


def test_a_step_that_goes_further_chooses_what_one_that_names_its_rows_does() -> None:
    """Ten tokens of two sequences, each way, through one call a step."""
    answers = []
    for goes_further in (False, True):
        storage = KVStorage(decoder("llama").layout(4, "model"), 32)
        recording: Any = Recording(decoder("llama"))
        runner = Runner(recording, storage)
        scheduler = DecodeScheduler(Limits(16, 4, 64, goes_further=goes_further), tables(32))
        for name, ids in (("a", range(2, 8)), ("b", range(5, 10))):
            scheduler.accept(SubmitLocal(attempt(name, ids, sampling=Sampling(temperature=0.0, max_tokens=12))), 0.0)
        rows, num_further = list[Any](), 0
        while (plan := scheduler.plan(0.0)) is not None:
            num_further += plan.further is not None
            for event in scheduler.commit(plan, runner.run(plan), 0.0):
                if isinstance(event, StepTokens | MoreTokens):
                    rows += event.rows
        answers.append(rows)
        assert (num_further > 5) == goes_further
        assert set(recording.calls) == {"forward_ranked"}
    assert answers[0] == answers[1]
    assert len(answers[0]) == 24


def test_two_where_rows_await_their_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, runner, recording = planned(lend=False)
    monkeypatch.setattr(Sampler, "awaits_masks", True)
    runner.run(plan)
    assert recording.calls == ["forward", "ranked"]


def test_no_logits_where_nothing_is_drawn() -> None:
    plan, runner, recording = planned(lend=False)
    assert runner.run(replace(plan, rows=())).sampled == ()
    assert recording.calls == ["forward"]
