"""What counts as handed off."""

import pytest

from baton.client.results import Accepted, Completion, Done, Explanation, Timings, Usage
from loadtest.micro.handoff import is_handed_off
from router.policy.route import Mode


@pytest.mark.parametrize(
    ("explanations", "counts"),
    [
        ((), False),
        ((Explanation("mode", Mode.LOCAL.value, ("decode-0",)),), False),
        ((Explanation("decode", Mode.HANDOFF.value, ()),), False),
        ((Explanation("mode", Mode.HANDOFF.value, ()), Explanation("prefill", "prefill-0", ())), True),
    ],
)
def test_only_hand_offs_count(explanations: tuple[Explanation, ...], counts: bool) -> None:
    done = Done(Usage(1, 0, 1), Timings(0, 1, 0, 1, 1, 2), 1, explanations)
    assert is_handed_off(Completion(Accepted("r", "m", 1), (), done)) is counts
