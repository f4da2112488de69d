"""Which machines a simulated world runs on."""

from collections.abc import Callable
from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.timeouts import Timeouts
from kvtransfer.handoff.land import Lander
from kvtransfer.handoff.lend import Lender
from kvtransfer.handoff.request import RequestRun
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.decode_site import DecodeSite
from loadtest.simulator.words import Truth


@dataclass(frozen=True, slots=True)
class Rules:
    """The machines under test, and what surrounds one; tests replace one by something that breaks a rule."""

    lender: Callable[[Timeouts], Lender] = Lender
    lander: Callable[[str, Timeouts], Lander] = Lander
    run: Callable[[Attempt, float, float, int], RequestRun] = RequestRun
    decode: Callable[[MemberId, Truth, Lander, int], DecodeSite] = DecodeSite


HONEST = Rules()
