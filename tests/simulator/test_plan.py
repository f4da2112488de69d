"""A seed decides everything, and the plans are as varied as the faults they are for."""

from loadtest.simulator.plan import make_plan


def test_the_same_seed_is_the_same_plan() -> None:
    assert make_plan(3) == make_plan(3)
    assert make_plan(3) != make_plan(4)


def test_plans_stay_within_their_bounds() -> None:
    for seed in range(200):
        plan = make_plan(seed)
        assert 1 <= len(plan.routers) <= 2
        assert 2 <= len(plan.prefills) <= 4
        assert 2 <= len(plan.decodes) <= 6
        assert 20 <= len(plan.asks) <= 60
        names = {*plan.routers, *plan.prefills, *plan.decodes}
        assert all(set(blow.names) <= names for blow in plan.blows)
        assert all(-(-len(ask.attempt.token_ids) // 4) <= plan.num_blocks for ask in plan.asks)


def test_every_kind_of_fault_occurs_and_some_days_are_calm() -> None:
    plans = [make_plan(seed) for seed in range(200)]
    assert {blow.kind for plan in plans for blow in plan.blows} == {"crash", "freeze", "cut"}
    for share in ("loss", "repeat", "late", "flip", "broken_copy", "slow_copy", "local"):
        assert any(getattr(plan, share) for plan in plans)
    calm = [plan for plan in plans if plan.calm]
    assert calm
    assert not any(plan.blows or plan.loss or plan.flip for plan in calm)
    assert any(len(ask.attempt.choices) > 1 for plan in plans for ask in plan.asks)
    assert any(ask.leaves_after_s for plan in plans for ask in plan.asks)
