"""What `baton top` can be told."""

from dataclasses import dataclass, field

from common.types.options import about

HTTP = "127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class TopConfig:
    """The fleet, live in a terminal."""

    http: str = field(default=HTTP, metadata=about("the router's HTTP address", "HOST:PORT", address=True))
    api_key: str = field(
        default="", repr=False, metadata=about("an admin key, where the router takes one", secret=True)
    )
    tls_ca: str = field(default="", metadata=about("authority of the router's certificate, or system", "FILE"))
    interval_s: float = field(default=1.0, metadata=about("time between two looks", "S", least=0.1))
    once: bool = field(default=False, metadata=about("one look, and no more"))
