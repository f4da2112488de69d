"""The one table between errors and gRPC statuses, both ways, with `google.rpc.Status` details.

| error | status | reason | facts |
|---|---|---|---|
| InvalidRequest | INVALID_ARGUMENT | INVALID_REQUEST | BadRequest.field_violations |
| NotFound | NOT_FOUND | NOT_FOUND | kind, name, known |
| Unauthenticated | UNAUTHENTICATED | UNAUTHENTICATED | |
| Forbidden | PERMISSION_DENIED | FORBIDDEN | |
| Overloaded | RESOURCE_EXHAUSTED | OVERLOADED | limit, RetryInfo |
| Unavailable | UNAVAILABLE | UNAVAILABLE | leg, RetryInfo |
| DeadlinePassed | DEADLINE_EXCEEDED | DEADLINE_PASSED | leg |
| Cancelled | CANCELLED | CANCELLED | |
| StaleAttempt | FAILED_PRECONDITION | STALE_ATTEMPT | |
| PeerLost | UNAVAILABLE | PEER_LOST | leg |
| StartupError, ModelError, bugs | INTERNAL | INTERNAL | error_id |

The last row never shows its text: a start-up error may name paths, a bug's text may hold anything. `error_id` finds it
in the server's log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from common.types.errors import (
    BatonError,
    Cancelled,
    DeadlinePassed,
    Forbidden,
    InvalidRequest,
    NotFound,
    Overloaded,
    PeerLost,
    StaleAttempt,
    StartupError,
    Unauthenticated,
    Unavailable,
    Violation,
)

DOMAIN = "baton"
INTERNAL = "INTERNAL"
_DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE = 400
_MAX_VIOLATIONS = 8
_MAX_FACT = 160
_DEFAULT_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class _Row:
    """How one type of error appears on the wire."""

    code: grpc.StatusCode
    reason: str
    facts: tuple[str, ...] = ()


_Code = grpc.StatusCode
TABLE: Mapping[type[Exception], _Row] = {
    InvalidRequest: _Row(_Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    NotFound: _Row(_Code.NOT_FOUND, "NOT_FOUND", ("kind", "name")),
    Unauthenticated: _Row(_Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    Forbidden: _Row(_Code.PERMISSION_DENIED, "FORBIDDEN"),
    Overloaded: _Row(_Code.RESOURCE_EXHAUSTED, "OVERLOADED", ("limit",)),
    Unavailable: _Row(_Code.UNAVAILABLE, "UNAVAILABLE", ("leg",)),
    DeadlinePassed: _Row(_Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED", ("leg",)),
    Cancelled: _Row(_Code.CANCELLED, "CANCELLED"),
    StaleAttempt: _Row(_Code.FAILED_PRECONDITION, "STALE_ATTEMPT"),
    PeerLost: _Row(_Code.UNAVAILABLE, "PEER_LOST", ("leg",)),
    StartupError: _Row(_Code.INTERNAL, INTERNAL),
}


def row_of(error: Exception) -> _Row | None:
    """The row of the error's type or of its nearest ancestor; None for a bug."""
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)


def is_public(error: BatonError | PeerLost) -> bool:
    """Whether a client may see its text."""
    row = row_of(error)
    return row is not None and row.reason != INTERNAL


def rich_status(error: BatonError | PeerLost) -> status_pb2.Status:
    """The error as `google.rpc.Status`; a type without a row is a bug and says nothing."""
    row = row_of(error)
    if row is None or not is_public(error):
        return internal_status("")
    facts = {fact: str(getattr(error, fact))[:_MAX_FACT] for fact in row.facts}
    details: list[error_details_pb2.BadRequest | error_details_pb2.RetryInfo] = []
    message = str(error)
    if isinstance(error, NotFound) and error.known:
        facts["known"] = ",".join(error.known[:8])[:_MAX_FACT]
    if isinstance(error, PeerLost):
        message = f"a member was lost during {error.leg}"
    if isinstance(error, InvalidRequest):
        details.append(_bad_request(error.violations))
    if isinstance(error, Overloaded | Unavailable):
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after_ms)))
    return _status(row.code, message, row.reason, facts, *details)


def internal_status(error_id: str) -> status_pb2.Status:
    """What a client sees of a bug: a fixed text and where to look."""
    facts = {"error_id": error_id} if error_id else {}
    return _status(_Code.INTERNAL, "an internal error; the server's log has the details", INTERNAL, facts)


def to_status(error: BatonError | PeerLost) -> grpc.Status:
    """For `context.abort_with_status`."""
    return grpc_status(rich_status(error))


def grpc_status(status: status_pb2.Status) -> grpc.Status:
    return rpc_status.to_status(status)  # type: ignore[no-any-return]


def from_rpc_error(error: grpc.aio.AioRpcError, leg: str, member: str = "") -> BatonError | PeerLost:
    """What a failed call means to its caller: the peer's typed error, or that the peer is lost.

    Never the peer's own text in a PeerLost: that is for logs, which get the status code.
    """
    status = _details_of(error)
    if status is not None:
        return from_status(status, leg, member)
    code = error.code()
    bare = _BARE.get(code)
    if bare is not None:
        return bare(leg)
    return PeerLost(leg, member, f"the call ended with {code.name}")


def from_status(status: status_pb2.Status, leg: str, member: str = "") -> BatonError | PeerLost:
    """The typed error a peer of ours sent; PeerLost for a bug of its own or for what this version does not know."""
    read, message = _read(status), status.message
    facts = read.facts
    match read.reason:
        case "INVALID_REQUEST":
            return InvalidRequest(*(read.violations or (Violation("request", message),)))
        case "NOT_FOUND":
            known = facts.get("known", "")
            return NotFound(facts.get("kind", "name"), facts.get("name", ""), tuple(known.split(",")) if known else ())
        case "OVERLOADED":
            return Overloaded(message, read.retry_after_ms, facts.get("limit", "requests"))
        case "UNAUTHENTICATED":
            return Unauthenticated(message)
        case "FORBIDDEN":
            return Forbidden(message)
        case "UNAVAILABLE":
            return Unavailable(message, facts.get("leg", leg), read.retry_after_ms)
        case "DEADLINE_PASSED":
            return DeadlinePassed(facts.get("leg", leg))
        case "CANCELLED":
            return Cancelled(message)
        case "STALE_ATTEMPT":
            return StaleAttempt(message)
        case "PEER_LOST":
            return PeerLost(leg, member, "it lost a member of its own")
        case _:
            return PeerLost(leg, member, f"it failed inside, error id {facts.get('error_id', 'unknown')[:32]}")


_BARE: Mapping[grpc.StatusCode, Callable[[str], BatonError]] = {
    _Code.INVALID_ARGUMENT: lambda leg: InvalidRequest(Violation("request", f"was refused during {leg}")),
    _Code.RESOURCE_EXHAUSTED: lambda leg: Overloaded(f"no room during {leg}", _DEFAULT_RETRY_MS),
    _Code.DEADLINE_EXCEEDED: DeadlinePassed,
}


def _status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    facts: Mapping[str, str],
    *details: error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message[:_MAX_MESSAGE])
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts), *details):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """Few and short: trailers over 8 KiB are dropped on the way, and the client would learn nothing."""
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field[:_MAX_FACT], description=violation.description[:_MAX_FACT]
            )
            for violation in violations[:_MAX_VIOLATIONS]
        ]
    )


def _duration(ms: int) -> Duration:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def _details_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """None when there are none, or none of ours; a foreign or broken trailer is treated as absent."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status()
            try:
                status.ParseFromString(value)
            except DecodeError:
                return None
            return status if status.code == error.code().value[0] and _read(status).reason else None
    return None


@dataclass(frozen=True, slots=True)
class _Read:
    """What the details said; an empty reason when they are not ours or broken."""

    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after_ms: int = _DEFAULT_RETRY_MS


def _read(status: status_pb2.Status) -> _Read:
    own, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    try:
        for detail in status.details:
            any(detail.Unpack(message) for message in (own, bad, retry))
    except DecodeError:
        return _Read()
    if own.domain != DOMAIN:
        return _Read()
    delay = retry.retry_delay
    return _Read(
        own.reason,
        dict(own.metadata),
        tuple(Violation(violation.field, violation.description) for violation in bad.field_violations),
        delay.seconds * 1000 + delay.nanos // 1_000_000 if retry.HasField("retry_delay") else _DEFAULT_RETRY_MS,
    )
