"""When a decode member computes a prompt because the prefill pool would be late for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policy.local import PATIENCE, STEP_SHARE, Goals, best_local, relief
from router.policy.prefill import choose_prefill
from router.policy.route import Mode, ModeRule, Reason, choose_route
from router.policy.snapshot import Member
from tests.router.samples import decode, load, need, prefill, snapshot

GOALS = Goals(ttft_ms=1000, tpot_ms=60)
POOL = load(prefill_tokens_per_s=1000.0)
BUSY = load(prefill_tokens_per_s=800.0, num_running=4, step_ms=10.0)


def pool(queue_tokens: int = 0) -> Member:
    return prefill(load=POOL, sent_tokens=queue_tokens)


def relieved(*members: Member, goals: Goals = GOALS, num_tokens: int = 400) -> str | None:
    view, wanted = snapshot(*members), need(num_tokens)
    best, _ = choose_prefill(view, wanted)
    assert best is not None
    local = relief(view, wanted, best, goals)
    return None if local is None else local.member.name


@pytest.mark.parametrize(
    ("queue_tokens", "member", "expected"),
    [
        (250, decode(load=BUSY), None),
        (500, decode(load=BUSY), "d0"),
        (5000, decode(load=BUSY), "d0"),
        (500, decode(load=BUSY, sent_tokens=400), None),
        (500, decode(load=BUSY, sent_tokens=400, head_tokens=400, head_s=0.4), "d0"),
        (500, decode(load=load(prefill_tokens_per_s=400.0, num_running=4, step_ms=10.0)), None),
        (500, decode(load=load(prefill_tokens_per_s=800.0, num_running=4, step_ms=50.0)), None),
        (500, decode(load=load(prefill_tokens_per_s=800.0, num_free_blocks=30)), None),
    ],
    ids=["in time", "late", "very late", "decode late", "nearly done", "slow", "long steps", "no room"],
)
def test_who_relieves_the_pool(queue_tokens: int, member: Member, expected: str | None) -> None:
    assert relieved(pool(queue_tokens), member, decode("d1", draining=True, load=BUSY)) == expected


def test_a_pool_with_nothing_ahead_is_not_late_however_long_the_prompt() -> None:
    slow = prefill(load=load(prefill_tokens_per_s=10.0))
    assert relieved(slow, decode(load=BUSY)) is None


def test_the_soonest_of_several_members_is_taken() -> None:
    members = decode("d0", load=BUSY, sent_tokens=100), decode("d1", load=BUSY), decode("d2", load=BUSY, sent_tokens=9)
    assert relieved(pool(600), *members) == "d1"


def test_a_goal_of_nought_is_none() -> None:
    assert relieved(pool(5000), decode(load=BUSY), goals=Goals(0, 60)) is None
    crowded = load(prefill_tokens_per_s=800.0, num_running=4, step_ms=500.0)
    assert relieved(pool(5000), decode(load=crowded), goals=Goals(1000, 0)) == "d0"


def test_the_cheapest_local_member_has_room_first() -> None:
    full, crowded = decode("d0", load=load(num_free_blocks=0)), decode("d1", load=BUSY)
    best = best_local(snapshot(full, crowded), need(100))
    assert best is not None
    assert (best.member.name, best.missing_blocks) == ("d1", 0)
    assert best.harm_ms == 4 * best.compute_ms


def test_own_prefix_counts_as_room_and_as_done() -> None:
    tight = load(prefill_tokens_per_s=800.0, num_free_blocks=75)
    best = best_local(snapshot(decode(load=tight, num_cached_tokens=300)), need(400))
    assert best is not None
    assert (best.missing_blocks, best.compute_ms) == (164 - 75 - 75, 125.0)


def route_reason(*members: Member, rule: ModeRule = ModeRule.AUTO, **wanted: object) -> Reason | None:
    made = choose_route(snapshot(*members), need(**wanted), rule, GOALS)  # type: ignore[arg-type]
    assert made is not None
    assert (made.reason is None) == (made.mode is Mode.HANDOFF)
    return made.reason


def test_every_local_prefill_has_its_reason() -> None:
    busy = decode(load=BUSY)
    assert route_reason(pool(5000), busy, num_tokens=400) is Reason.RELIEF
    assert route_reason(pool(0), busy, num_tokens=400) is None
    assert route_reason(pool(100), decode(load=load(prefill_tokens_per_s=800.0)), num_tokens=4) is Reason.CHEAPER
    assert route_reason(busy, num_tokens=400) is Reason.NO_PREFILL
    assert route_reason(pool(0), busy, rule=ModeRule.LOCAL, num_tokens=400) is Reason.RULE


def test_a_fleet_that_hands_everything_off_relieves_nobody() -> None:
    assert route_reason(pool(500_000), decode(load=BUSY), rule=ModeRule.HANDOFF, num_tokens=400) is None
    assert route_reason(pool(500_000), decode(load=BUSY), num_tokens=400, scores_prompt=True) is None


def test_the_explanation_says_that_the_pool_would_be_late() -> None:
    made = choose_route(snapshot(pool(1000), decode(load=BUSY)), need(400), goals=GOALS)
    assert made is not None
    local, handoff = made.explanations[0].candidates
    assert local.endswith("on d0, 2000 ms of delay to what runs there); the prefill pool would be late")
    assert handoff.startswith("hand-off: 14")


DECODES = st.lists(
    st.builds(
        lambda name, speed, sent, running, step: decode(
            f"d{name}", load=load(prefill_tokens_per_s=speed, num_running=running, step_ms=step), sent_tokens=sent
        ),
        st.integers(0, 9),
        st.floats(50, 5000),
        st.integers(0, 3000),
        st.integers(0, 30),
        st.floats(1, 100),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda member: member.name,
)


@given(DECODES, st.integers(0, 5000), st.integers(1, 400), st.floats(1, 5000), st.floats(1, 200))
def test_relief_is_sooner_fits_both_goals_and_is_never_for_a_pool_in_time(
    members: list[Member], queue_tokens: int, num_tokens: int, ttft_ms: float, tpot_ms: float
) -> None:
    view, wanted, goals = snapshot(pool(queue_tokens), *members), need(num_tokens), Goals(ttft_ms, tpot_ms)
    best, _ = choose_prefill(view, wanted)
    assert best is not None
    local = relief(view, wanted, best, goals)
    if local is None:
        return
    assert queue_tokens
    assert best.ttft_ms > PATIENCE * ttft_ms
    assert local.ttft_ms < best.ttft_ms
    assert local.step_ms <= STEP_SHARE * tpot_ms
    assert local.missing_blocks == 0


@given(DECODES, st.integers(1, 400), st.integers(0, 5000), st.integers(0, 5000))
def test_a_longer_queue_never_brings_a_prompt_back_to_it(
    members: list[Member], num_tokens: int, queue_tokens: int, more: int
) -> None:
    def mode(ahead: int) -> Mode:
        made = choose_route(snapshot(pool(ahead), *members), need(num_tokens), goals=GOALS)
        assert made is not None
        return made.mode

    if mode(queue_tokens) is Mode.LOCAL and queue_tokens:
        assert mode(queue_tokens + more) is Mode.LOCAL
