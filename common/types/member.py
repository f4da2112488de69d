"""What workers tell routers of themselves."""

from dataclasses import dataclass

from common.types.ids import Role


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a worker is; fixed for the life of its process (`epoch`)."""

    member: str
    role: Role
    address: str
    epoch: int
    model: str
    model_fingerprint: str
    layout: str
    protocol: int
    block_tokens: int
    block_bytes: int
    num_blocks: int
    max_sequences: int
    max_model_tokens: int
    transports: tuple[str, ...]
    cache_key_id: str


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is, at every heartbeat. Hash lists are deltas since the last report, 8 bytes a hash."""

    sequence: int = 0
    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    num_quarantined_blocks: int = 0
    num_running: int = 0
    num_waiting: int = 0
    backlog_tokens: int = 0
    prefill_tokens_per_s: float = 0.0
    step_ms: float = 0.0
    fetch_bytes_per_s: float = 0.0
    added_hashes: tuple[int, ...] = ()
    removed_hashes: tuple[int, ...] = ()
    drained: bool = False
    draining: bool = False
