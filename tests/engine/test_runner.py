"""A plain step is one call into the model; whoever needs something between the pass and its logits gets two."""

from dataclasses import replace
from typing import Any

import pytest

from common.engine.messages import Submit
from common.engine.plan import StepPlan
from common.engine.runner import Runner
from common.engine.sampler import Sampler
from common.models.decoder import Decoder
from tests.engine.attempts import attempt
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


def test_two_where_rows_await_their_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, runner, recording = planned(lend=False)
    monkeypatch.setattr(Sampler, "awaits_masks", True)
    runner.run(plan)
    assert recording.calls == ["forward", "ranked"]


def test_no_logits_where_nothing_is_drawn() -> None:
    plan, runner, recording = planned(lend=False)
    assert runner.run(replace(plan, rows=())).sampled == ()
    assert recording.calls == ["forward"]
