"""Where a lender that others reach by an IP address listens: loopback, unless it was told to open up."""

import ipaddress
import socket

from common.types.errors import StartupError
from kvtransfer.transports.sockets import tune


def listen_on(name: str, host: str, port: int, advertise: str, safe: bool) -> tuple[socket.socket, str]:
    """A bound socket for the transport of that name, and its endpoint; `safe` says that others may reach it."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise StartupError(f"the {name} transport listens on an IP address", "Give one, such as 127.0.0.1") from error
    if not (address.is_loopback or safe):
        raise StartupError(
            f"the {name} transport would be reachable from other machines, unencrypted",
            "Listen on 127.0.0.1, or allow it with expose",
        )
    if address.is_unspecified and not advertise:
        raise StartupError(f"the {name} transport listens on every address", "Say which one peers use (advertise)")
    listening = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tune(listening)
        listening.bind((str(address), port))
    except OSError as error:
        listening.close()
        raise StartupError(
            f"the {name} transport cannot listen: {error.strerror}",
            "Choose an address of this machine and a free port",
        ) from error
    bound, number = listening.getsockname()[:2]
    shown = advertise or bound
    return listening, f"[{shown}]:{number}" if ":" in shown else f"{shown}:{number}"
