"""Receives a request's body within bounds of size and time, and reads it as strict JSON."""

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from common.types.errors import Cancelled
from common.types.http import HttpLimits
from router.http.body_room import BodyRoom
from router.http.front import Front
from router.http.refusal import HttpRefusal
from router.strict_json import parse_object

INLINE_BYTES = 64 << 10
"""Longer ones are read in a thread: the event loop has streams to carry."""
JSON = "application/json"
"""Said outright: a page in somebody's browser can send anything else to this address without asking."""
CLOSE = {"connection": "close"}


async def read_object(request: Request, front: Front) -> dict[str, Any]:
    """Raises HttpRefusal for a body too large or too slow or of another type, InvalidRequest for what is no JSON."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise HttpRefusal(415, "unsupported_media_type", "the body must be application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpRefusal(415, "unsupported_media_type", "the body must not be compressed")
    with front.body_room.place() as place:
        body = await _receive(request, front.config.http_limits, place)
        if len(body) <= INLINE_BYTES:
            return parse_object(body)
        return await asyncio.to_thread(parse_object, body)


async def _receive(request: Request, limits: HttpLimits, place: BodyRoom.Place) -> bytes:
    """Stops reading where the limit is, whatever the headers announced."""
    most = int(limits.max_body_mib * (1 << 20))
    too_large = HttpRefusal(413, "body_too_large", f"the body has more than {most} bytes", CLOSE)
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(limits.receive_s):
            async for piece in request.stream():
                if place.num_bytes + len(piece) > most:
                    raise too_large
                place.take(len(piece))
                pieces.append(piece)
    except TimeoutError:
        raise HttpRefusal(408, "request_timeout", f"the body took more than {limits.receive_s:g} s", CLOSE) from None
    except ClientDisconnect:
        raise Cancelled("the client hung up") from None
    return b"".join(pieces)
