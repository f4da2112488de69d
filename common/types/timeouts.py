"""Every time-out of the hand-off in one place, with the defaults the promises are written for. Never wall time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A lease is liveness only, never evidence of safety."""

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
