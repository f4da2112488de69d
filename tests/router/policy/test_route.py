"""Hand-off or local prefill."""

import pytest

from common.types.ids import Role
from router.policy.route import Mode, ModeRule, Route, choose_route
from router.policy.snapshot import Member
from tests.router.samples import decode, hello, load, need, prefill, snapshot


def route(*members: Member, rule: ModeRule = ModeRule.AUTO, **wanted: object) -> Route | None:
    return choose_route(snapshot(*members), need(**wanted), rule)  # type: ignore[arg-type]


def picked(*members: Member, rule: ModeRule = ModeRule.AUTO, **wanted: object) -> tuple[Mode, str] | None:
    made = route(*members, rule=rule, **wanted)
    return (made.mode, made.member.name) if made else None


FAST = load(prefill_tokens_per_s=10_000.0)


def test_a_long_prompt_goes_to_the_prefill_pool() -> None:
    assert picked(prefill(), decode(), num_tokens=400) == (Mode.HANDOFF, "p0")


def test_a_short_prompt_is_cheaper_on_an_idle_decode_member() -> None:
    assert picked(prefill(), decode(load=FAST), num_tokens=4) == (Mode.LOCAL, "d0")


def test_a_short_prompt_does_not_delay_a_running_batch() -> None:
    busy = load(prefill_tokens_per_s=1000.0, num_running=20, step_ms=10.0)
    assert picked(prefill(load=FAST), decode(load=busy), num_tokens=40) == (Mode.HANDOFF, "p0")


def test_a_long_prefix_of_its_own_makes_local_cheap() -> None:
    assert picked(prefill(), decode(num_cached_tokens=396), num_tokens=400) == (Mode.LOCAL, "d0")


def test_a_queue_at_prefill_makes_local_cheap() -> None:
    queued = prefill(load=load(backlog_tokens=5000))
    assert picked(queued, decode(), num_tokens=400) == (Mode.LOCAL, "d0")


def test_equally_fast_members_leave_the_prompt_to_the_prefill_pool() -> None:
    """Local would win by the transfer alone; what has yet to arrive speaks against it."""
    assert picked(prefill(load=FAST), decode(load=FAST), num_tokens=400) == (Mode.HANDOFF, "p0")


def test_the_pool_without_prefill_members_serves_locally() -> None:
    assert picked(decode(), num_tokens=400) == (Mode.LOCAL, "d0")
    assert picked(prefill(draining=True), decode(), num_tokens=400) == (Mode.LOCAL, "d0")
    assert picked(prefill(layout="layout-b"), decode(), num_tokens=400) == (Mode.LOCAL, "d0")


def test_without_decode_members_there_is_no_route() -> None:
    assert picked(prefill()) is None
    assert picked() is None
    assert picked(prefill(), decode(draining=True)) is None


def test_a_single_token_needs_no_decode_member() -> None:
    assert picked(prefill(), needs_decode=False) == (Mode.HANDOFF, "p0")


@pytest.mark.parametrize(("rule", "expected"), [(ModeRule.HANDOFF, Mode.HANDOFF), (ModeRule.LOCAL, Mode.LOCAL)])
def test_the_operator_may_decide(rule: ModeRule, expected: Mode) -> None:
    for tokens in (2, 400):
        made = route(prefill(), decode(load=FAST), rule=rule, num_tokens=tokens)
        assert made is not None
        assert made.mode is expected


def test_a_hand_off_rule_still_serves_without_a_prefill_pool() -> None:
    assert picked(decode(), rule=ModeRule.HANDOFF) == (Mode.LOCAL, "d0")


def test_scoring_a_prompt_needs_a_prefill_member() -> None:
    assert picked(decode(), scores_prompt=True) is None
    for rule in ModeRule:
        made = picked(prefill(), decode(load=FAST), num_tokens=4, rule=rule, scores_prompt=True)
        assert made == (Mode.HANDOFF, "p0")


def test_local_prefers_a_member_with_room_and_few_to_delay() -> None:
    full = decode("d0", load=load(num_free_blocks=0))
    crowded = decode("d1", load=load(num_running=9))
    assert picked(full, crowded, decode("d2"), num_tokens=50) == (Mode.LOCAL, "d2")
    assert picked(full, crowded, num_tokens=50) == (Mode.LOCAL, "d1")


def test_too_long_for_everyone_is_no_route() -> None:
    small = decode(hello=hello("d0", Role.DECODE, num_blocks=4))
    assert picked(prefill(), small, num_tokens=16) is None
    assert picked(prefill(), small, num_tokens=15) is not None


def test_both_costs_are_explained_the_chosen_one_first() -> None:
    made = route(prefill(), decode(), num_tokens=400)
    assert made is not None
    mode, pool = made.explanations
    assert (mode.decision, mode.chosen) == ("mode", "hand-off")
    assert [line.split(":")[0] for line in mode.candidates] == ["hand-off", "local prefill"]
    assert pool.decision == "prefill"
    made = route(prefill(), decode(load=FAST), num_tokens=4)
    assert made is not None
    assert [line.split(":")[0] for line in made.explanations[0].candidates] == ["local prefill", "hand-off"]
