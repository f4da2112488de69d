"""The three machines and the block pools together, under every order of events; and with each rule broken once."""

import pytest

from kvtransfer.handoff.arrival import LandingState
from loadtest.simulator.decode_site import DecodeSite
from loadtest.simulator.explorer import Explorer
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.small_world import Size, small_world
from loadtest.simulator.words import Violation
from tests.handoff.broken import BREAKS, Break

ONE_BLOCK = Size(num_blocks=1, prefill_pool=1, decode_pool=1)
MAX_STATES = 600_000


def test_two_attempts_of_one_request_in_every_order() -> None:
    explorer = Explorer(small_world(max_crashes=0))
    findings = explorer.run(MAX_STATES)
    assert findings.complete
    assert findings.num_states > 300_000
    check_reached(explorer)


@pytest.mark.parametrize("checksums", [True, False], ids=["checksums", "blind"])
def test_any_process_may_crash_and_come_back(checksums: bool) -> None:
    findings = Explorer(small_world(ONE_BLOCK, checksums=checksums)).run(MAX_STATES)
    assert findings.complete
    assert findings.num_states > 100_000


def test_decode_may_prefill_itself_and_an_answer_may_be_longer() -> None:
    size = Size(num_blocks=1, num_tokens=3, prefill_pool=1, decode_pool=1)
    findings = Explorer(small_world(size, local=True, max_crashes=0)).run(MAX_STATES)
    assert findings.complete


def test_two_requests_compete_for_one_block() -> None:
    size = Size(requests=("a", "b"), num_blocks=1, max_attempts=1, prefill_pool=1, decode_pool=1)
    assert Explorer(small_world(size, max_crashes=0)).run(MAX_STATES).complete


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.rule.replace(" ", "-"))
def test_a_broken_rule_is_noticed(broken: Break) -> None:
    with pytest.raises(Violation, match=broken.complaint):
        Explorer(broken.world()).run(MAX_STATES)


def test_forgetting_spent_messages_changes_no_verdict() -> None:
    size = Size(num_blocks=1, prefill_pool=1, decode_pool=1, max_attempts=1, num_decode=1)
    short = Explorer(small_world(size, max_crashes=0))
    long = Explorer(small_world(size, max_crashes=0, forgetting=False))
    assert short.run(MAX_STATES).complete
    assert long.run(MAX_STATES).complete
    for name in ("R", "P", "D1"):
        assert len(short.sites(name)) == len(long.sites(name))


def check_reached(explorer: Explorer) -> None:
    """The exploration went where it matters."""
    landed = [site for site in explorer.sites("D1") if isinstance(site, DecodeSite)]
    states = {site.lander.state(id) for site in landed for id in site.sequences}
    assert states == {state for state in LandingState if state is not LandingState.DONE}
    assert any(sequence.fence_asked for site in landed for sequence in site.sequences.values())
    assert any(len(site.sequences) == 2 for site in landed)
    lent = [site for site in explorer.sites("P") if isinstance(site, PrefillSite)]
    assert any(sequence.sealed and sequence.follower for site in lent for sequence in site.sequences.values())
    routers = [site for site in explorer.sites("R") if isinstance(site, RouterSite)]
    assert {error is None for site in routers for error in site.errors.values()} == {True, False}
    assert any({number for number, _ in log} == {1, 2} for site in routers for log in site.log.values())
