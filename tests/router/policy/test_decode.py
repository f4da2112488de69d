"""Which decode member is chosen: room first, then the predicted time of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.ids import Role
from router.policy.decode import choose_decode
from router.policy.snapshot import Member
from tests.router.samples import decode, hello, load, need, prefill, snapshot


def chosen(*members: Member, layout: str | None = "layout-a", **wanted: object) -> str | None:
    best, explanation = choose_decode(snapshot(*members), need(**wanted), layout)  # type: ignore[arg-type]
    assert explanation.chosen == (best.member.name if best else "nobody")
    return best.member.name if best else None


FULL = load(num_free_blocks=2)
FULLER = load(num_free_blocks=0)
BUSY = load(num_running=6, step_ms=20.0)
IDLE = load(num_running=0)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([decode("d0", load=FULL), decode("d1", load=load(num_running=30))], "d1"),
        ([decode("d0", load=FULLER), decode("d1", load=FULL)], "d1"),
        ([decode("d0", load=BUSY), decode("d1", load=IDLE)], "d1"),
        ([decode("d0", sent_sequences=4), decode("d1")], "d1"),
        ([decode("d0", sent_blocks=250), decode("d1", load=BUSY)], "d1"),
        ([decode("d0"), decode("d1", num_cached_tokens=96)], "d1"),
        ([decode("d0", draining=True), decode("d1", load=FULL)], "d1"),
        ([decode("d0", layout="layout-b"), decode("d1", load=FULL)], "d1"),
        ([decode("d1"), decode("d0")], "d0"),
        ([decode("d0", load=load(step_ms=60.0, num_running=1)), decode("d1", load=BUSY)], "d1"),
    ],
    ids=["room", "least short", "batch", "sent", "sent blocks", "prefix", "draining", "layout", "name", "speed"],
)
def test_room_then_time(members: list[Member], expected: str) -> None:
    assert chosen(*members) == expected


def test_a_step_is_judged_by_the_batch_it_was_measured_with() -> None:
    large_and_fast = decode("d1", load=load(step_ms=20.0, num_running=16))
    small_and_slow = decode("d0", load=load(step_ms=40.0, num_running=1))
    assert chosen(small_and_slow, large_and_fast) == "d1"


def test_an_idle_member_is_taken_to_be_as_fast_as_its_peers() -> None:
    assert chosen(decode("d0", load=BUSY), decode("d1", load=load(step_ms=500.0))) == "d1"


def test_own_prefix_counts_as_room() -> None:
    tight = load(num_free_blocks=80)
    wanted = need(100)
    short = wanted.blocks(4) - 80
    assert short > 0
    best, _ = choose_decode(snapshot(decode(load=tight)), wanted, "layout-a")
    assert best is not None
    assert best.missing_blocks == short
    best, _ = choose_decode(snapshot(decode(load=tight, num_cached_tokens=40)), wanted, "layout-a")
    assert best is not None
    assert best.missing_blocks == max(0, short - 10)


@pytest.mark.parametrize("changes", [{"num_blocks": 25}, {"max_model_tokens": 100}])
def test_what_can_never_fit_is_no_candidate(changes: dict[str, int]) -> None:
    member = decode(hello=hello("d0", Role.DECODE, **changes))
    assert chosen(member, num_tokens=100) is None
    assert chosen(member, num_tokens=99) == "d0"


def test_any_layout_serves_local_prefill() -> None:
    assert chosen(decode("d0", layout="layout-b"), layout=None) == "d0"
    assert chosen(decode("d0", layout="layout-b")) is None


def test_prefill_members_are_no_candidates() -> None:
    assert chosen(prefill()) is None


def test_the_explanation_says_what_is_missing() -> None:
    _, why = choose_decode(snapshot(decode("d0", load=FULL), decode("d1")), need(100), "layout-a")
    assert why.decision == "decode"
    assert why.candidates[0].startswith("d1: enough blocks")
    assert why.candidates[1].startswith("d0: 87 blocks short")


@given(st.lists(st.tuples(st.integers(0, 256), st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 400))
def test_a_member_with_room_is_never_passed_over_for_one_without(rooms: list[tuple[int, int]], tokens: int) -> None:
    members = [
        decode(f"d{place}", load=load(num_free_blocks=free, num_running=running))
        for place, (free, running) in enumerate(rooms)
    ]
    best, _ = choose_decode(snapshot(*members), need(tokens), "layout-a")
    assert best is not None
    fits = [free >= need(tokens).blocks(4) for free, _ in rooms]
    assert (best.missing_blocks == 0) == any(fits)
    again, _ = choose_decode(snapshot(*reversed(members)), need(tokens), "layout-a")
    assert again == best
