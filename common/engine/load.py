"""What an engine says of itself after a step, put together from its tables and its scheduler's figures. Pure."""

from common.engine.messages import EngineLoad
from common.engine.tables import BlockTables


def engine_load(
    tables: BlockTables,
    *,
    num_running: int,
    num_waiting: int,
    backlog_tokens: int,
    prefill_tokens_per_s: float,
    step_ms: float,
    num_preempted: int = 0,
) -> EngineLoad:
    counts, oldest = tables.pool.counts(), tables.pool.oldest()
    return EngineLoad(
        num_free_blocks=counts.num_free,
        num_cached_blocks=counts.num_cached,
        num_quarantined_blocks=counts.num_quarantined,
        num_running=num_running,
        num_waiting=num_waiting,
        backlog_tokens=backlog_tokens,
        prefill_tokens_per_s=prefill_tokens_per_s,
        step_ms=step_ms,
        num_owned_blocks=counts.num_owned,
        num_sealed_blocks=counts.num_sealed,
        cached_at=oldest.cached_at,
        quarantined_at=oldest.quarantined_at,
        num_queried_tokens=tables.num_queried_tokens,
        num_hit_tokens=tables.num_hit_tokens,
        num_preempted=num_preempted,
    )
