"""Every time-out of the hand-off in one place, with the defaults the promises are written for. Never wall time.

Beside them the goals: what routes and steps aim at, and nothing ends for missing.
"""

from dataclasses import dataclass, field

from common.types.options import about

TTFT_GOAL_MS, TPOT_GOAL_MS = 1000.0, 60.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, and milliseconds where a name says so. A lease is liveness only, never evidence of safety.

    A goal of 0 is none.
    """

    heartbeat_s: float = 1.0
    dead_s: float = 3.0
    lease_s: float = 10.0
    renew_s: float = 1.0
    landed_s: float = 0.5
    landed_tries: int = 4
    handoff_s: float = 15.0
    fence_s: float = 5.0
    drain_s: float = 30.0
    stalled_reader_s: float = 10.0
    quarantine_s: float = 30.0
    quarantine_share: float = 0.10
    ttft_goal_ms: float = field(default=TTFT_GOAL_MS, metadata=about("to the first token", "MS", least=0))
    tpot_goal_ms: float = field(default=TPOT_GOAL_MS, metadata=about("between tokens", "MS", least=0))
