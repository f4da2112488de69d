"""The production policy and schedulers on virtual time: what goals change for clients, and what they must not."""

from dataclasses import replace
from functools import partial

import pytest

from loadtest.goodput.__main__ import Rule, main, rules, simulate
from loadtest.goodput.outcome import Outcome, Served
from loadtest.goodput.speeds import Speeds
from loadtest.goodput.world import Load, World
from router.policy.local import Goals
from router.policy.route import ModeRule, Reason, choose_route

GOALS = Goals()
RULES = rules(GOALS)
SHORT = Load(rate=1.0, duration_s=25.0)


def outcome(rule: str, rate: float) -> Outcome:
    return simulate(RULES[rule], replace(SHORT, rate=rate), GOALS)


def test_below_what_the_pool_can_do_nearly_every_prompt_is_handed_off() -> None:
    found = outcome("auto", 1.0)
    assert found.kept_share == 1.0
    assert found.local_share <= 0.1


def test_beyond_it_decode_members_take_what_would_be_late() -> None:
    handed, relieved = outcome("hand-off", 4.0), outcome("auto", 4.0)
    assert relieved.goodput > 3 * handed.goodput
    assert relieved.kept_share > 0.8
    assert 0.15 < relieved.relieved_share < 0.5


def test_nobody_decoding_waits_longer_than_the_goal() -> None:
    found = outcome("auto", 5.0)
    assert found.tpot_p99_ms <= GOALS.tpot_ms
    assert found.longest_step_ms <= 1.2 * GOALS.tpot_ms


def test_hand_off_alone_disturbs_no_step_however_late_prompts_are() -> None:
    found = outcome("hand-off", 4.0)
    assert found.local_share == 0.0
    assert found.longest_step_ms < 20


def test_streams_beside_prompts_that_the_pool_can_take_are_left_alone() -> None:
    """Four long answers while prompts of 512 tokens come 1.5 times a second."""
    load = Load(1.5, 30.0, (512,), (8,), num_streams=4)
    handed = simulate(Rule(partial(choose_route, rule=ModeRule.HANDOFF), GOALS.tpot_ms / 1000), load, GOALS)
    assert handed.local_share == 0.0
    assert handed.longest_step_ms < 20
    for found in (handed, simulate(RULES["auto"], load, GOALS)):
        assert found.kept_share > 0.9
        assert found.itl_p99_ms <= 1.2 * found.itl_p50_ms


def test_every_request_is_served_to_its_last_token() -> None:
    for decide in (RULES["auto"].decide, RULES["hand-off"].decide):
        world = World(decide)
        served = world.run(Load(6.0, 8.0, (32, 512, 1500), (2, 64)))
        assert len(served) > 30
        assert {each.num_tokens for each in served} == {2, 64}
        assert all(each.arrived < each.first <= each.last for each in served)


def test_a_second_prefill_member_makes_relief_rare() -> None:
    world = World(RULES["auto"].decide, num_prefill=2)
    served = world.run(replace(SHORT, rate=3.0))
    assert sum(each.reason is Reason.RELIEF for each in served) / len(served) < 0.1


def test_the_same_seed_gives_the_same_run() -> None:
    assert outcome("auto", 2.0) == outcome("auto", 2.0)


def test_a_faster_machine_keeps_more() -> None:
    slow = World(RULES["hand-off"].decide, speeds=Speeds(token_ms=0.8)).run(replace(SHORT, rate=2.0))
    fast = World(RULES["hand-off"].decide, speeds=Speeds(token_ms=0.3)).run(replace(SHORT, rate=2.0))
    assert sum(each.keeps(GOALS) for each in fast) > sum(each.keeps(GOALS) for each in slow)


@pytest.mark.parametrize(
    ("first", "last", "kept"), [(1.0, 4.7, True), (1.01, 4.0, False), (0.5, 4.4, False)], ids=["both", "ttft", "tpot"]
)
def test_a_good_request_keeps_both_goals(first: float, last: float, kept: bool) -> None:
    assert Served(0.0, None, first, last, 64).keeps(GOALS) is kept


def test_the_command_prints_a_line_per_rate_and_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rates", "1,2", "--duration-s", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(RULES)
    assert lines[0].startswith(" 1.0/s  hand-off")
