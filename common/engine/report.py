"""A worker's report to routers, put together from what its engine and its side say of themselves. Pure."""

from dataclasses import dataclass, replace

from common.engine.messages import EngineLoad
from common.types.member import FetchTotals, Load, StepTotals


@dataclass(frozen=True, slots=True)
class SideState:
    """What only the side of a worker knows."""

    fetch_bytes_per_s: float
    fetches: FetchTotals
    draining: bool
    idle: bool


def make_report(engine: EngineLoad, steps: StepTotals, side: SideState, now: float) -> Load:
    """Without hashes; `now` is on the engine's clock."""
    return Load(
        num_free_blocks=engine.num_free_blocks,
        num_cached_blocks=engine.num_cached_blocks,
        num_quarantined_blocks=engine.num_quarantined_blocks,
        num_owned_blocks=engine.num_owned_blocks,
        num_sealed_blocks=engine.num_sealed_blocks,
        oldest_cached_s=_age(engine.cached_at, now),
        oldest_quarantined_s=_age(engine.quarantined_at, now),
        num_running=engine.num_running,
        num_waiting=engine.num_waiting,
        backlog_tokens=engine.backlog_tokens,
        prefill_tokens_per_s=engine.prefill_tokens_per_s,
        step_ms=engine.step_ms,
        fetch_bytes_per_s=side.fetch_bytes_per_s,
        drained=side.draining and side.idle,
        draining=side.draining,
        steps=replace(
            steps,
            num_queried_tokens=engine.num_queried_tokens,
            num_hit_tokens=engine.num_hit_tokens,
            num_preempted=engine.num_preempted,
        ),
        fetches=side.fetches,
    )


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)
