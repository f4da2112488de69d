"""Who is a member, who is gone, and who hears of it."""

import asyncio

import pytest

from common.types.errors import InvalidRequest, NotFound, PeerLost
from common.types.hashing import chain, key_id, root_hash, wire_hash
from common.types.ids import PROTOCOL_MAJOR, Role
from common.types.member import Hello
from router.fleet import FleetView, Served
from router.membership import DrainCommand, Membership, ResumeCommand
from router.policy.backlog import REPORT_LAG_S
from router.policy.snapshot import Member, Snapshot
from tests.router.samples import FINGERPRINT, KEY, hello, load, need


def fleet() -> FleetView:
    return FleetView(Served("tiny", FINGERPRINT, KEY))


def joined(view: FleetView, who: Hello, now: float = 0.0) -> Membership:
    return view.join(who, now)


def member(view: FleetView, name: str, snapshot: Snapshot | None = None) -> Member:
    return next(each for each in (snapshot or view.snapshot()).members if each.name == name)


class Losses:
    """Collects what attempts are told."""

    def __init__(self) -> None:
        self.told: list[PeerLost] = []

    def __call__(self, error: PeerLost) -> None:
        self.told.append(error)


def refused_fields(view: FleetView, who: Hello) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        view.join(who, 0.0)
    return [violation.field for violation in caught.value.violations]


async def test_members_come_and_go() -> None:
    view = fleet()
    first = joined(view, hello("p0"))
    joined(view, hello("d0", Role.DECODE))
    assert [each.name for each in view.snapshot().prefill] == ["p0"]
    assert [each.hello.member for each in view.members()] == ["d0", "p0"]
    view.leave(first, "gone")
    assert view.snapshot().prefill == ()
    view.leave(first, "gone again")
    assert [each.hello.member for each in view.members()] == ["d0"]


async def test_what_does_not_match_is_refused_and_named() -> None:
    view = fleet()
    assert refused_fields(view, hello(protocol=PROTOCOL_MAJOR + 1)) == ["hello.protocol"]
    assert refused_fields(view, hello(model="other")) == ["hello.model"]
    assert refused_fields(view, hello(model_fingerprint="beef")) == ["hello.model_fingerprint"]
    assert len(refused_fields(view, hello(protocol=9, model="other", model_fingerprint="beef"))) == 3
    assert view.members() == ()


async def test_another_layout_waits_until_the_old_members_drain() -> None:
    view = fleet()
    old = joined(view, hello("p0"))
    assert refused_fields(view, hello("p1", layout="layout-b")) == ["hello.layout_fingerprint"]
    joined(view, hello("p0", layout="layout-b", epoch=2))
    assert old.lost is not None
    view.drain("p0", leave=False)
    joined(view, hello("p1", layout="layout-c"))
    joined(view, hello("p2", layout="layout-c"))
    assert refused_fields(view, hello("p3", layout="layout-b")) == ["hello.layout_fingerprint"]


async def test_a_lost_member_takes_its_attempts_with_it_at_once() -> None:
    view, losses, spared = fleet(), Losses(), Losses()
    membership = joined(view, hello("p0"))
    view.place(member(view, "p0"), need(10), 0.0, losses, computes=True)
    view.place(member(view, "p0"), need(10), 0.0, spared, computes=True).close()
    assert member(view, "p0").num_attempts == 1
    view.leave(membership, "silent")
    assert [(error.leg, error.member, error.detail) for error in losses.told] == [("prefill", "p0", "silent")]
    assert spared.told == []


async def test_a_new_process_of_a_name_replaces_the_old_one() -> None:
    view, losses = fleet(), Losses()
    old = joined(view, hello("d0", Role.DECODE, epoch=1))
    before = member(view, "d0")
    view.place(before, need(10), 0.0, losses, computes=True)
    joined(view, hello("d0", Role.DECODE, epoch=2))
    assert len(losses.told) == 1
    assert old.lost == "a new process of this name joined"
    assert await old.commands.get() is None
    view.leave(old, "its stream ended")
    assert member(view, "d0").hello.epoch == 2
    with pytest.raises(PeerLost):
        view.place(before, need(10), 0.0, losses, computes=True)


async def test_the_same_process_may_join_again_without_losing_anything() -> None:
    view, losses = fleet(), Losses()
    old = joined(view, hello("d0", Role.DECODE))
    view.drain("d0", leave=False)
    view.place(member(view, "d0"), need(10), 0.0, losses, computes=True)
    ending = view.place(member(view, "d0"), need(10), 0.0, losses, computes=True)
    new = joined(view, hello("d0", Role.DECODE))
    view.leave(old, "its stream ended")
    assert losses.told == []
    assert member(view, "d0").num_attempts == 2
    ending.close()
    assert member(view, "d0").num_attempts == 1
    assert member(view, "d0").draining
    view.leave(new, "gone")
    assert len(losses.told) == 1


async def test_drain_and_resume() -> None:
    view = fleet()
    membership = joined(view, hello("p0"))
    view.drain("p0", leave=True)
    assert membership.commands.get_nowait() == DrainCommand(leave=True)
    assert view.snapshot().prefill == ()
    view.resume("p0")
    assert membership.commands.get_nowait() == ResumeCommand()
    assert len(view.snapshot().prefill) == 1
    view.report(membership, load(draining=True), 1.0)
    assert view.snapshot().prefill == ()
    with pytest.raises(NotFound) as caught:
        view.drain("p9", leave=False)
    assert caught.value.known == ("p0",)


async def test_work_sent_counts_until_a_report_can_have_seen_it() -> None:
    view = fleet()
    prefill, decode = joined(view, hello("p0")), joined(view, hello("d0", Role.DECODE))
    for name in ("p0", "d0"):
        view.place(member(view, name), need(40, num_choices=2, max_tokens=8), 1.0, Losses(), computes=True)
    assert (member(view, "p0").sent_tokens, member(view, "p0").sent_blocks) == (40, 0)
    assert (member(view, "d0").sent_blocks, member(view, "d0").sent_sequences) == (14, 2)
    for membership in (prefill, decode):
        view.report(membership, load(), 1.0 + REPORT_LAG_S / 2)
    view.report(decode, load(), 1.0 + REPORT_LAG_S)
    assert (member(view, "d0").sent_blocks, member(view, "d0").sent_sequences) == (0, 0)


async def test_a_prompt_is_backlog_until_it_is_computed_whatever_reports_say() -> None:
    view = fleet()
    prefill = joined(view, hello("p0"))
    first = view.place(member(view, "p0"), need(40), 1.0, Losses(), computes=True)
    second = view.place(member(view, "p0"), need(30), 1.1, Losses(), computes=True)

    def ahead(now: float) -> float:
        (seen,) = view.snapshot(now=now).members
        return seen.backlog_tokens(100.0)

    assert ahead(1.0) == 70
    assert ahead(1.2) == pytest.approx(50)
    assert ahead(9.0) == 30, "the second is not begun before the first is done"
    view.report(prefill, load(backlog_tokens=70), 1.3)
    assert ahead(1.3) == pytest.approx(40)
    view.report(prefill, load(backlog_tokens=500), 1.3)
    assert ahead(1.3) == pytest.approx(40 + 430), "another router's prompts"
    view.report(prefill, load(), 1.3)
    first.computed(1.4)
    first.computed(1.9)
    assert ahead(1.5) == pytest.approx(20)
    view.report(prefill, load(backlog_tokens=70), 1.45)
    assert ahead(1.5) == pytest.approx(20), "written before the first was done"
    second.close()
    assert ahead(1.5) == 0


async def test_hashes_follow_the_deltas_and_stay_bounded() -> None:
    view = fleet()
    membership = joined(view, hello("p0", num_blocks=3))
    view.report(membership, load(added_hashes=(1, 2, 3, 4, 5)), 1.0)
    assert len(membership.hashes) == 3
    view.report(membership, load(removed_hashes=(1, 2), added_hashes=(7,)), 2.0)
    assert membership.hashes == {3, 7}


async def test_hits_are_counted_per_member_and_only_under_our_key() -> None:
    view = fleet()
    tokens = tuple(range(12))
    hashes = tuple(wire_hash(each) for each in chain(KEY, root_hash(KEY, b"", FINGERPRINT), tokens, 4))
    for who in (hello("p0"), hello("p1"), hello("p2", cache_key_id=key_id(b"another"))):
        membership = joined(view, who)
        if who.member != "p1":
            view.report(membership, load(added_hashes=hashes[:2]), 1.0)
    seen = view.snapshot(view.hashes_of(tokens, b""))
    assert [member(view, name, seen).num_cached_tokens for name in ("p0", "p1", "p2")] == [8, 0, 0]
    view.place(member(view, "p0", seen), need(12), 2.0, Losses(), computes=True)
    assert member(view, "p0").sent_tokens == 4


async def test_a_member_that_fetches_computes_only_tails() -> None:
    view = fleet()
    joined(view, hello("d0", Role.DECODE))
    view.place(member(view, "d0"), need(40, num_tail_tokens=3), 1.0, Losses(), computes=False)
    assert member(view, "d0").sent_tokens == 3
    assert member(view, "d0").sent_blocks > 10


async def test_whether_any_decode_member_takes_work() -> None:
    view = fleet()
    joined(view, hello("p0"))
    assert not view.has_decode()
    joined(view, hello("d0", Role.DECODE))
    assert view.has_decode()
    view.drain("d0", leave=False)
    assert not view.has_decode()


async def test_a_change_wakes_who_waits_and_who_watches() -> None:
    view, heard = fleet(), list[int]()
    view.watch(lambda: heard.append(len(view.members())))
    waiting = asyncio.create_task(view.changed())
    await asyncio.sleep(0)
    membership = joined(view, hello("p0"))
    await waiting
    view.report(membership, load(num_running=1), 1.0)
    view.report(membership, load(draining=True), 2.0)
    view.leave(membership, "gone")
    assert heard == [1, 1, 0]


async def test_a_member_that_cannot_be_reached_takes_no_work_until_it_is_heard_of() -> None:
    view = fleet()
    decode = joined(view, hello("d0", Role.DECODE))
    assert view.has_decode()
    view.doubt(hello("d0", Role.DECODE, epoch=2))
    assert view.has_decode(), "an earlier process of that name is nobody's concern"
    changed = asyncio.create_task(view.changed())
    await asyncio.sleep(0)
    view.doubt(decode.hello)
    assert not view.has_decode()
    assert member(view, "d0").draining
    assert not decode.draining, "operators and the member itself did not say so"
    await changed
    changed = asyncio.create_task(view.changed())
    await asyncio.sleep(0)
    view.report(decode, load(), 1.0)
    assert view.has_decode()
    await changed
