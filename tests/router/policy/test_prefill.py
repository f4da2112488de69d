"""Which prefill member is chosen, and what is said about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policy.prefill import choose_prefill
from router.policy.snapshot import Member
from router.policy.speeds import PRIOR_PREFILL_TOKENS_PER_S
from tests.router.samples import decode, hello, load, need, prefill, snapshot


def chosen(*members: Member, **wanted: object) -> str | None:
    best, explanation = choose_prefill(snapshot(*members), need(**wanted))  # type: ignore[arg-type]
    assert explanation.chosen == (best.member.name if best else "nobody")
    return best.member.name if best else None


BUSY = load(backlog_tokens=1000)
FAST = load(prefill_tokens_per_s=4000.0)
SLOW = load(prefill_tokens_per_s=100.0)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([prefill("p0", load=BUSY), prefill("p1")], "p1"),
        ([prefill("p0", sent_tokens=1000), prefill("p1")], "p1"),
        ([prefill("p0"), prefill("p1", num_cached_tokens=80)], "p1"),
        ([prefill("p0", load=SLOW), prefill("p1", load=FAST)], "p1"),
        ([prefill("p0", draining=True), prefill("p1", load=BUSY)], "p1"),
        ([prefill("p1"), prefill("p0")], "p0"),
        ([prefill("p0", num_attempts=3), prefill("p1")], "p1"),
        ([prefill("p0", layout="layout-b"), prefill("p1", load=BUSY)], "p1"),
        ([prefill("p0", hello=hello("p0", num_blocks=10)), prefill("p1", load=BUSY)], "p1"),
    ],
    ids=["backlog", "sent", "prefix", "speed", "draining", "name", "attempts", "layout", "pool"],
)
def test_the_first_token_soonest(members: list[Member], expected: str) -> None:
    assert chosen(*members, decode()) == expected


def test_a_hit_is_weighed_against_the_queue() -> None:
    cached = prefill("p0", num_cached_tokens=96, load=load(backlog_tokens=60))
    assert chosen(cached, prefill("p1"), decode()) == "p0"
    cached = prefill("p0", num_cached_tokens=96, load=load(backlog_tokens=200))
    assert chosen(cached, prefill("p1"), decode()) == "p1"


def test_scoring_the_prompt_uses_no_hits() -> None:
    cached = prefill("p0", num_cached_tokens=96, num_attempts=1)
    assert chosen(cached, prefill("p1"), decode()) == "p0"
    assert chosen(cached, prefill("p1"), decode(), scores_prompt=True) == "p1"


def test_without_a_decode_member_nobody_is_chosen_unless_one_token_is_all() -> None:
    assert chosen(prefill()) is None
    assert chosen(prefill(), decode(draining=True)) is None
    assert chosen(prefill(), needs_decode=False) == "p0"


def test_an_unmeasured_member_is_taken_to_be_like_its_peers() -> None:
    best, _ = choose_prefill(snapshot(prefill("p0"), prefill("p1", load=FAST, sent_tokens=50), decode()), need(100))
    assert best is not None
    assert best.member.name == "p0"
    assert best.ttft_ms == pytest.approx(100 / 4000 * 1000)
    alone, _ = choose_prefill(snapshot(prefill("p0"), decode()), need(100))
    assert alone is not None
    assert alone.ttft_ms == pytest.approx(100 / PRIOR_PREFILL_TOKENS_PER_S * 1000)


def test_an_idle_member_is_not_believed_to_be_slower_than_decode_members() -> None:
    """A disturbed measurement would keep away the prompts that alone could correct it."""
    beside = decode(load=load(prefill_tokens_per_s=800.0))
    idle, _ = choose_prefill(snapshot(prefill(load=SLOW), beside), need(100))
    queued, _ = choose_prefill(snapshot(prefill(load=SLOW, sent_tokens=1), beside), need(100))
    assert idle is not None
    assert queued is not None
    assert (idle.ttft_ms, queued.ttft_ms) == (125.0, 1010.0)


def test_the_explanation_lists_all_candidates_best_first() -> None:
    _, why = choose_prefill(snapshot(prefill("p0", load=BUSY), prefill("p1"), decode()), need(100))
    assert why.decision == "prefill"
    assert [line.split(":")[0] for line in why.candidates] == ["p1", "p0"]
    assert "1000 tokens ahead, 100 to compute" in why.candidates[1]


MEMBERS = st.lists(
    st.builds(
        lambda name, backlog, sent, cached, speed, draining: prefill(
            f"p{name}",
            load=load(backlog_tokens=backlog, prefill_tokens_per_s=speed),
            sent_tokens=sent,
            num_cached_tokens=cached,
            draining=draining,
        ),
        st.integers(0, 50),
        st.integers(0, 5000),
        st.integers(0, 5000),
        st.integers(0, 100),
        st.sampled_from([0.0, 10.0, 5000.0]),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda member: member.name,
)


@given(MEMBERS, st.randoms())
def test_the_order_of_members_never_matters(members: list[Member], random: object) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert chosen(*members, decode()) == chosen(*shuffled, decode())


@given(MEMBERS)
def test_nobody_predicted_faster_is_passed_over(members: list[Member]) -> None:
    best, _ = choose_prefill(snapshot(*members, decode()), need(100))
    taking = [member for member in members if not member.draining]
    assert (best is None) == (not taking)
    for member in taking:
        alone, _ = choose_prefill(snapshot(member, decode()), need(100))
        assert alone is not None
        if best is not None and member.load.prefill_tokens_per_s:
            assert best.ttft_ms <= alone.ttft_ms
