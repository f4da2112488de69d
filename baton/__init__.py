"""What a user touches: the client and the commands. `Client` and `Fleet` load on first use, the wire does without."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baton.client import Client, Fleet

__all__ = ["Client", "Fleet"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'baton' has no attribute {name!r}")
    from baton import client

    return getattr(client, name)
