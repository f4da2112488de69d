"""Servers: the one place where server-side gRPC settings stand, and where a port is taken.

Knows nothing of what is served: services come as functions that register themselves.
"""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence

import grpc

from common.net.channel import CONTROL_BYTES, KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, Option
from common.net.interceptors import CatchAll
from common.types.errors import StartupError

Register = Callable[[grpc.aio.Server], None]

_CAUSES = {
    errno.EADDRINUSE: ("port {port} on {host} is already in use", "Stop what uses it, or choose another port"),
    errno.EACCES: ("port {port} on {host} needs rights this process lacks", "Choose a port above 1023"),
    errno.EADDRNOTAVAIL: ("{host} is no address of this machine", "Listen on 127.0.0.1 or on an address it has"),
}


def server_options(max_concurrent_streams: int, max_message_bytes: int = CONTROL_BYTES) -> list[Option]:
    """`min_ping_interval_without_data_ms` is the name that works; a shorter client keepalive would be cut off.

    Port sharing is off: with it, a second server on a taken port starts and gets half of the connections.
    """
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", max_concurrent_streams),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.absolute_max_metadata_size", 16 << 10),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 4),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]


def make_server(
    services: Iterable[Register],
    *,
    max_concurrent_streams: int = 1024,
    max_message_bytes: int = CONTROL_BYTES,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """A server that is not listening yet. A service registers itself: `partial(add_FleetServicer_to_server, fleet)`.

    The catch-all stands outside the given interceptors, so that what they raise is mapped too.
    """
    server = grpc.aio.server(
        interceptors=[CatchAll(), *interceptors],
        options=server_options(max_concurrent_streams, max_message_bytes),
    )
    for register in services:
        register(server)
    return server


def bind(
    server: grpc.aio.Server, address: str, *, expose: bool = False, credentials: grpc.ServerCredentials | None = None
) -> int:
    """Takes the port and returns its number (of interest when 0 was asked for).

    Whoever calls says with `expose` whether something else than the address keeps strangers out.
    """
    check_exposed(address, expose=expose)
    try_address(address)
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {address}", "Choose another address") from error


def check_exposed(address: str, *, expose: bool) -> None:
    """Raises StartupError for an address that other machines reach, unless the operator said so."""
    if not (expose or is_local(address)):
        raise StartupError(
            f"{address} can be reached from other machines, and nothing keeps strangers off this plane",
            "Listen on 127.0.0.1, close it with keys or certificates, or pass --expose if the network does",
        )


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; the path and 0 of `unix:path`."""
    if address.startswith("unix:"):
        return address.removeprefix("unix:"), 0
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise StartupError(f"{address!r} is no address", "Write HOST:PORT, such as 127.0.0.1:50051")
    return host.strip("[]"), int(port)


def is_local(address: str) -> bool:
    """Whether only this machine can reach it."""
    if address.startswith("unix:"):
        return True
    host, _ = split_address(address)
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def try_address(address: str) -> None:
    """gRPC only says that it could not bind, and writes to stderr: asking the system for the port first tells why."""
    host, port = split_address(address)
    if not port:
        return
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen()
    except socket.gaierror as error:
        raise StartupError(f"the host name {host!r} is not known", "Listen on 127.0.0.1 or check the name") from error
    except OSError as error:
        cause, fix = _CAUSES.get(error.errno or 0, ("cannot listen on {host}:{port}", "Choose another address"))
        raise StartupError(cause.format(host=host, port=port), fix) from error
