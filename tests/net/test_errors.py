"""The table is whole, says what it promises, and reads back on the other side of a real call."""

import inspect
from functools import partial

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net import errors as table
from common.types import errors
from common.types.errors import (
    BatonError,
    Cancelled,
    DeadlinePassed,
    Forbidden,
    InvalidRequest,
    ModelError,
    NotFound,
    Overloaded,
    PeerLost,
    StaleAttempt,
    StartupError,
    Unauthenticated,
    Unavailable,
    Violation,
    invalid,
)
from tests.net.servers import connected

SAMPLES: list[BatonError | PeerLost] = [
    InvalidRequest(Violation("sampling.top_p", "must be between 0 and 1"), Violation("n", "zu groß")),
    NotFound("model", "x", ("a", "b")),
    NotFound("member", "p1"),
    Overloaded("the queue is full", 2500),
    Overloaded("60 requests a minute", 900, "key_requests"),
    Unauthenticated("no key came with the call"),
    Forbidden("this takes an admin key"),
    Unavailable("no decode member", "decode", 700),
    DeadlinePassed("prefill"),
    Cancelled("the reader was too slow"),
    StaleAttempt("attempt 1 after 2"),
]
CODES = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    Cancelled: grpc.StatusCode.CANCELLED,
    StaleAttempt: grpc.StatusCode.FAILED_PRECONDITION,
    PeerLost: grpc.StatusCode.UNAVAILABLE,
    StartupError: grpc.StatusCode.INTERNAL,
}


class Failing(fleet_pb2_grpc.FleetServicer):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def ListMembers(
        self, request: fleet_pb2.ListMembersRequest, context: object
    ) -> fleet_pb2.ListMembersResponse:
        raise self.error


async def caught(error: Exception) -> grpc.aio.AioRpcError:
    """What a client of a service that raises this sees."""
    async with connected(partial(fleet_pb2_grpc.add_FleetServicer_to_server, Failing(error))) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as seen:
            await fleet_pb2_grpc.FleetStub(channel).ListMembers(fleet_pb2.ListMembersRequest())
        return seen.value


def test_every_error_has_a_row() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) >= 11
    for kind in kinds:
        assert kind is BatonError or any(parent in table.TABLE for parent in kind.__mro__), kind
    assert {kind: row.code for kind, row in table.TABLE.items()} == CODES


def test_reasons_are_distinct() -> None:
    reasons = [row.reason for row in table.TABLE.values()]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
async def test_an_error_crosses_a_call_unchanged(error: BatonError) -> None:
    seen = await caught(error)
    assert seen.code() == CODES[type(error)]
    back = table.from_rpc_error(seen, "some leg")
    assert type(back) is type(error)
    assert vars(back) == vars(error)
    assert str(back) == str(error)


async def test_a_lost_peer_names_no_member_to_the_client() -> None:
    seen = await caught(PeerLost("decode", "10.0.0.7:999", "ECONNRESET"))
    assert seen.code() == grpc.StatusCode.UNAVAILABLE
    assert "10.0.0.7" not in repr(seen)
    assert "ECONNRESET" not in repr(seen)
    back = table.from_rpc_error(seen, "router", "r1")
    assert isinstance(back, PeerLost)
    assert (back.leg, back.member) == ("router", "r1")


@pytest.mark.parametrize(
    "error", [StartupError("no /etc/secret", "fix"), ModelError("/models/x", ""), BatonError("raw"), KeyError("/home")]
)
async def test_texts_that_are_not_for_clients_stay_inside(error: Exception) -> None:
    seen = await caught(error)
    assert seen.code() == grpc.StatusCode.INTERNAL
    assert seen.details() == "an internal error; the server's log has the details"
    for text in ("/etc", "/models", "raw", "/home"):
        assert text not in repr(seen)
    back = table.from_rpc_error(seen, "prefill", "p1")
    assert isinstance(back, PeerLost)
    assert "error id" in back.detail
    assert "unknown" not in back.detail


def details(status: status_pb2.Status) -> dict[str, object]:
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    found: dict[str, object] = {}
    for detail in status.details:
        for kind in kinds:
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


def test_details_are_the_standard_ones() -> None:
    found = details(table.rich_status(invalid("n", "must be at least 1")))
    assert found == {
        "ErrorInfo": error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="baton"),
        "BadRequest": error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="n", description="must be at least 1")]
        ),
    }
    retry = details(table.rich_status(Overloaded("full", 2500)))["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (2, 500_000_000)
    own = details(table.rich_status(DeadlinePassed("prefill")))["ErrorInfo"]
    assert isinstance(own, error_details_pb2.ErrorInfo)
    assert dict(own.metadata) == {"leg": "prefill"}


async def test_a_huge_error_still_arrives() -> None:
    violations = [Violation("stop" * 200, "ü" * 5000) for _ in range(100)]
    seen = await caught(InvalidRequest(*violations))
    assert seen.code() == grpc.StatusCode.INVALID_ARGUMENT
    back = table.from_rpc_error(seen, "router")
    assert isinstance(back, InvalidRequest)
    assert 1 <= len(back.violations) <= 8


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlinePassed),
        (grpc.StatusCode.UNAVAILABLE, PeerLost),
        (grpc.StatusCode.UNIMPLEMENTED, PeerLost),
        (grpc.StatusCode.INTERNAL, PeerLost),
        (grpc.StatusCode.UNKNOWN, PeerLost),
        (grpc.StatusCode.CANCELLED, PeerLost),
    ],
)
@pytest.mark.parametrize("trailer", [None, b"", b"\xff\xff", status_pb2.Status(code=5).SerializeToString()])
def test_statuses_without_our_details(code: grpc.StatusCode, kind: type[Exception], trailer: bytes | None) -> None:
    metadata = grpc.aio.Metadata() if trailer is None else grpc.aio.Metadata(("grpc-status-details-bin", trailer))
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, "a peer's own words")
    back = table.from_rpc_error(error, "decode", "d1")
    assert type(back) is kind
    assert "words" not in str(back)


def test_a_reason_of_a_later_version_means_a_lost_peer() -> None:
    status = table.rich_status(Cancelled("x"))
    own = error_details_pb2.ErrorInfo(reason="NEW_THING", domain="baton")
    status.details[0].Pack(own)
    assert isinstance(table.from_status(status, "decode"), PeerLost)
