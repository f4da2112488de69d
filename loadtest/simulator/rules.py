"""Which machines a simulated world runs on."""

from collections.abc import Callable
from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.timeouts import Timeouts
from kvtransfer.handoff.land import Lander
from kvtransfer.handoff.lend import Lender
from kvtransfer.handoff.request import RequestRun


@dataclass(frozen=True, slots=True)
class Rules:
    """The machines under test; tests replace one by a machine that breaks a rule."""

    lender: Callable[[Timeouts], Lender] = Lender
    lander: Callable[[str, Timeouts], Lander] = Lander
    run: Callable[[Attempt, float, float, int], RequestRun] = RequestRun


HONEST = Rules()
