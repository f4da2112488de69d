"""Which of a machine's own addresses peers reach it at, when it listens on all of them. Sends nothing."""

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from common.net.server import split_address
from common.types.errors import StartupError

DISCARD_PORT = 9


def advertised(listen: str, advertise: str, peers: Sequence[str]) -> str:
    """`advertise` itself if there is one; empty where the listening address says it already; else the address from
    which packets to the first peer that can be found would leave, with the port that is listened on.
    """
    host, port = split_address(listen)
    if advertise or not _is_unspecified(host):
        return advertise
    for peer in peers:
        with contextlib.suppress(OSError):
            return f"{_source(split_address(peer)[0])}:{port}"
    raise StartupError(
        f"it listens on every address, and none of {', '.join(peers)} can be found to tell which one to name",
        "Start the router first, or say --advertise HOST:PORT",
    )


def _is_unspecified(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return False


def _source(peer: str) -> str:
    family, kind, _, _, where = socket.getaddrinfo(peer, DISCARD_PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)
        own: str = probe.getsockname()[0]
    return f"[{own}]" if family is socket.AF_INET6 else own
