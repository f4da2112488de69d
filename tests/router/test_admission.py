"""Admission by token cost, and the retry budget. Time is a number here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.errors import Overloaded
from router.admission import (
    MAX_RETRY_AFTER_MS,
    MIN_RETRY_AFTER_MS,
    UNMEASURED_RETRY_AFTER_MS,
    Admission,
    Cost,
    DrainRate,
    RetryBudget,
    Ticket,
)
from router.policy.snapshot import EXPECTED_OUTPUT_TOKENS


def admission(**limits: int) -> Admission:
    return Admission(**{"max_requests": 100, "max_queue_tokens": 1000} | limits, now=0.0)


def refusal(gate: Admission, cost: Cost, *, capacity: int = 10_000, now: float = 1.0) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        gate.admit(cost, capacity, now)
    return caught.value


def test_cost_counts_the_prompt_once_and_each_expected_answer() -> None:
    assert Cost.of(100, 20, 3) == Cost(100, 60)
    assert Cost.of(100, 10**9, 2).output_tokens == 2 * EXPECTED_OUTPUT_TOKENS


def test_prompts_that_wait_are_bounded() -> None:
    gate = admission()
    first = gate.admit(Cost(600, 10), 10_000, 0.0)
    assert "prompt tokens wait" in refusal(gate, Cost(401, 10)).reason
    gate.admit(Cost(400, 10), 10_000, 1.0)
    first.prefilled(2.0)
    gate.admit(Cost(600, 10), 10_000, 2.0)


def test_memory_of_the_fleet_is_bounded() -> None:
    gate = admission(max_queue_tokens=100)
    gate.admit(Cost(50, 450), 500, 0.0).prefilled(0.0)
    gate.admit(Cost(50, 50), 500, 0.0).prefilled(0.0)
    assert "KV memory" in refusal(gate, Cost(1, 0), capacity=500).reason
    gate.admit(Cost(1, 0), 501, 1.0)


def test_the_number_of_requests_is_bounded() -> None:
    gate = admission(max_requests=1)
    ticket = gate.admit(Cost(1, 1), 10_000, 0.0)
    assert "requests" in refusal(gate, Cost(1, 1)).reason
    ticket.close(1.0)
    gate.admit(Cost(1, 1), 10_000, 1.0)


def test_one_request_alone_is_always_admitted() -> None:
    assert isinstance(admission(max_queue_tokens=1).admit(Cost(5000, 5000), 10, 0.0), Ticket)


def test_nothing_is_charged_for_a_refusal() -> None:
    gate = admission(max_queue_tokens=10)
    gate.admit(Cost(10, 5), 10_000, 0.0)
    refusal(gate, Cost(1, 1))
    assert (gate.num_requests, gate.num_waiting_tokens, gate.num_held_tokens) == (1, 10, 15)


def test_retry_after_follows_the_measured_speed() -> None:
    gate = admission()
    gate.admit(Cost(1000, 0), 10_000, 0.0)
    assert refusal(gate, Cost(500, 0), now=1.0).retry_after_ms == UNMEASURED_RETRY_AFTER_MS
    slow, fast = admission(), admission()
    for gate, step_s in ((slow, 1.0), (fast, 0.1)):
        for turn in range(200):
            gate.admit(Cost(100, 0), 10_000, turn * step_s).close((turn + 1) * step_s)
        gate.admit(Cost(1000, 0), 10_000, 200 * step_s)
    assert refusal(slow, Cost(500, 0), now=200.0).retry_after_ms == pytest.approx(5000, rel=0.1)
    assert refusal(fast, Cost(500, 0), now=20.0).retry_after_ms == pytest.approx(500, rel=0.3)


def test_retry_after_is_bounded() -> None:
    gate = admission()
    gate.admit(Cost(10**9, 0), 10_000, 0.0).close(0.0)
    gate.admit(Cost(1000, 0), 10_000, 0.0)
    assert refusal(gate, Cost(1, 0), now=0.0).retry_after_ms == MIN_RETRY_AFTER_MS
    gate = admission()
    gate.admit(Cost(300, 0), 10_000, 0.0).close(0.0)
    gate.admit(Cost(1000, 0), 10_000, 0.0)
    assert refusal(gate, Cost(10**7, 0), now=10.0).retry_after_ms == MAX_RETRY_AFTER_MS


def test_a_rate_forgets() -> None:
    rate = DrainRate(0.0)
    rate.add(1000, 0.0)
    assert rate.per_s(1.0) > 100
    assert rate.per_s(1000.0) < 1e-6


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 300), st.integers(0, 3)), max_size=40))
def test_the_counts_are_those_of_open_requests(script: list[tuple[int, int, int]]) -> None:
    gate, tickets = admission(max_requests=10), list[tuple[Ticket, Cost]]()
    waiting: dict[int, int] = {}
    for now, (prompt, output, move) in enumerate(script):
        if move <= 1:
            try:
                ticket = gate.admit(Cost(prompt, output), 2000, float(now))
            except Overloaded:
                continue
            tickets.append((ticket, Cost(prompt, output)))
            waiting[id(ticket)] = prompt
        elif tickets and move == 2:
            tickets[0][0].prefilled(float(now))
            waiting.pop(id(tickets[0][0]), None)
        elif tickets:
            ticket, _ = tickets.pop()
            ticket.close(float(now))
            ticket.close(float(now))
            waiting.pop(id(ticket), None)
        assert gate.num_requests == len(tickets)
        assert gate.num_held_tokens == sum(cost.tokens for _, cost in tickets)
        assert gate.num_waiting_tokens == sum(waiting.values())
        assert gate.num_waiting_tokens <= max(1000, 400)


def took(budget: RetryBudget, now: float) -> bool:
    """Makes a retry if one is allowed."""
    if not budget.allows(now):
        return False
    budget.take(now)
    return True


def test_a_burst_of_retries_then_a_share() -> None:
    budget = RetryBudget(0.1, burst=3, now=0.0, per_s=0.0)
    assert [took(budget, 0.0) for _ in range(4)] == [True, True, True, False]
    for _ in range(25):
        budget.request(0.0)
    assert [took(budget, 0.0) for _ in range(3)] == [True, True, False]


def test_a_quiet_fleet_may_retry_a_little() -> None:
    budget = RetryBudget(0.1, burst=1, now=0.0, per_s=0.5)
    assert took(budget, 0.0)
    assert not took(budget, 1.0)
    assert took(budget, 2.0)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    budget = RetryBudget(0.1, burst=1, now=10.0, per_s=1.0)
    assert took(budget, 10.0)
    assert not took(budget, 5.0)
    assert not took(budget, 10.5)
    assert took(budget, 11.0)


@given(st.lists(st.sampled_from(["request", "retry"]), max_size=300))
def test_retries_never_pass_the_share(script: list[str]) -> None:
    budget, requests, retries = RetryBudget(0.1, burst=5, now=0.0, per_s=0.0), 0, 0
    for move in script:
        if move == "request":
            budget.request(0.0)
            requests += 1
        elif took(budget, 0.0):
            retries += 1
        assert retries <= 5 + 0.1 * requests + 1e-9
