"""What the HTTP front puts up with from clients. Bounds of one request's tokens and choices stand elsewhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds, MiB and counts."""

    keep_alive_s: float = 15.0
    receive_s: float = 30.0
    idle_s: float = 75.0
    max_body_mib: float = 8.0
    max_bodies_mib: float = 256.0
    max_header_kib: float = 32.0
    max_prompts: int = 64
    max_connections: int = 4096
