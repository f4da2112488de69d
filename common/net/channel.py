"""Channels: the one place where client-side gRPC settings stand.

Retries and proxies are off: the router retries, and what Baton dials is never behind an HTTP proxy. A frozen peer is
found by heartbeats of our own; keepalive only clears away connections that a network swallowed.
"""

import grpc

CONTROL_BYTES = 1 << 20
LOOKAHEAD_BYTES = 64 << 10
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000

Option = tuple[str, int | str]


def channel_options(max_message_bytes: int = CONTROL_BYTES) -> list[Option]:
    """64 KiB of lookahead and no bandwidth probe: otherwise a reader that stopped is sent megabytes first."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


def open_channel(
    address: str,
    *,
    max_message_bytes: int = CONTROL_BYTES,
    credentials: grpc.ChannelCredentials | None = None,
    host: str = "",
) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:path`; it connects on first use. The caller closes it.

    With credentials it is TLS, and the other end must prove to be `host`, if given, instead of what the address names.
    """
    chosen = channel_options(max_message_bytes)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=chosen)
    if host:
        chosen.append(("grpc.ssl_target_name_override", host))
    return grpc.aio.secure_channel(address, credentials, options=chosen)
